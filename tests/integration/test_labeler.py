"""The labeler as Ray calls it, with its ledger as a plain object behind Ray's way of calling."""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from itertools import count
from threading import Event
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import ray
from stand_in_generator import StandInGenerator, photo, stand_in

from pipeline.cluster.attempts import AttemptLedger
from pipeline.errors import SamLabelError
from pipeline.images.decode_pool import DecodeLimits, DecodePool
from pipeline.labelling.beats import Beats
from pipeline.labelling.block_stream import BlockStream
from pipeline.labelling.fetch import FETCHED_SCHEMA
from pipeline.labelling.labeler import Labeler, LabelerSettings
from pipeline.labelling.mask_stream import MaskStream
from pipeline.labelling.opening import Opening
from pipeline.metrics.work import WorkClock
from pipeline.output.format.schema import SCHEMA_WITH_VECTORS
from pipeline.store.settings import DEFAULT_ACCESS
from sam_core.masks.image_masks import ImageMasks
from sam_core.options import MaskOptions

pytestmark = pytest.mark.usefixtures("one_ray")


@pytest.fixture(scope="module")
def ledger(one_ray: None) -> Any:
    """One for all tests, whose images have ids of their own."""
    return new_ledger()


def new_ledger() -> Any:
    return ray.remote(AttemptLedger).options(num_cpus=0).remote()


class Ahead(StandInGenerator):
    """Takes so many images ahead of the masks that it gives, as on a GPU; counts those of each stream."""

    def __init__(self, ahead: int) -> None:
        super().__init__(0.0, None)
        self.ahead, self.streams = ahead, list[int]()

    def generate_many(self, images: Iterable[np.ndarray]) -> Iterator[ImageMasks]:
        self.streams.append(0)
        stream, taken = len(self.streams) - 1, deque[np.ndarray]()
        for image in images:
            self.streams[stream] += 1
            taken.append(image)
            if len(taken) > self.ahead:
                yield self.generate_masks(taken.popleft())
        yield from map(self.generate_masks, taken)


class Gated(Ahead):
    """Begins when it is told."""

    def __init__(self, ahead: int) -> None:
        super().__init__(ahead)
        self.may_begin = Event()

    def generate_many(self, images: Iterable[np.ndarray]) -> Iterator[ImageMasks]:
        assert self.may_begin.wait(60)
        return super().generate_many(images)


class Described(StandInGenerator):
    """Gives each mask a vector of its place, and the image one of its height."""

    def generate_masks(self, image: np.ndarray) -> ImageMasks:
        masks = super().generate_masks(image)
        vectors = np.repeat(np.arange(len(masks), dtype=np.float16)[:, None], 256, axis=1)
        return replace(masks, embedding=vectors, image_embedding=np.full(256, masks.height, np.float16))


IDS = count()
SETTINGS = LabelerSettings(None, None, "", "cpu", 1, MaskOptions(), 1, DecodeLimits(1 << 20, 20))


def fetched(photos: list[bytes]) -> pa.Table:
    rows = [
        {
            "image_id": f"{next(IDS):032x}",
            "uri": f"file:///{number}",
            "size": len(data),
            "etag": "e",
            "data": data,
        }
        for number, data in enumerate(photos)
    ]
    return pa.Table.from_pylist(rows, schema=FETCHED_SCHEMA)


def block_stream(generator: Ahead, ledger: Any) -> BlockStream:
    opening = Opening(DecodePool(1, SETTINGS.decode_limits), SETTINGS.decode_limits, False, DEFAULT_ACCESS)
    return BlockStream(MaskStream(generator, WorkClock()), Beats(ledger), opening, nullcontext)


def names(rows: list[dict[str, Any]]) -> set[str]:
    return {row["uri"][-1] for row in rows if row["status"] == "ok"}


def errors(table: pa.Table) -> dict[str, str | None]:
    return {row["uri"][-1]: row["error"] for row in table.select(["uri", "error"]).to_pylist()}


@pytest.mark.parametrize("ahead", [0, 2, 9])
def test_a_generator_that_takes_images_ahead_changes_no_row(ledger: Any, ahead: int) -> None:
    table = fetched([photo(0), photo(1), b"text", photo(3, poison="raise"), photo(4), photo(5), photo(6)])
    labelled = Labeler(SETTINGS, lambda _: Ahead(ahead), ledger)(table)
    assert errors(labelled) == dict.fromkeys("0123456") | {"2": "NOT_AN_IMAGE", "3": "LABELER_ERROR"}
    labeler = Labeler(SETTINGS, stand_in(), ledger)
    one_by_one = [labeler(table.slice(place, 1)) for place in range(len(table))]
    assert labelled.sort_by("uri") == pa.concat_tables(one_by_one)


def test_what_may_have_killed_a_labeler_is_labelled_alone(ledger: Any) -> None:
    table = fetched([photo(number) for number in range(6)])
    ids = table["image_id"].to_pylist()
    for number in (1, 4, 4):  # labelers began these and died
        ray.get(ledger.begin_alone.remote(ids[number]))
    generator = Ahead(2)
    labelled = Labeler(SETTINGS, lambda _: generator, ledger)(table)
    # begun: 0, and alone 1; then 2 and 3, and alone 4; then 5
    assert generator.streams == [1, 1, 2, 1, 1]
    assert set(errors(labelled).values()) == {None}


def test_a_fast_labeler_tells_the_ledger_of_many_images_at_once(
    ledger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.labelling.beats.BEAT_S", 1e6)  # next to which every labeler is fast
    heard: list[tuple[str, Any]] = []

    class Heard:
        """Passes calls on, and keeps what was said."""

        def __getattr__(self, name: str) -> Any:
            def remote(said: Any, *more: Any) -> Any:
                heard.append((name, said))
                return getattr(ledger, name).remote(said, *more)

            return SimpleNamespace(remote=remote)

    labeler = Labeler(SETTINGS, stand_in(), Heard())
    labeler(fetched([photo(0)]))  # by which it knows its pace
    heard.clear()
    labelled_before = ray.get(ledger.tally.remote()).labelled
    table = fetched([photo(number) for number in range(5)])
    labeler(table)
    ids = table["image_id"].to_pylist()
    of_images = [(name, said) for name, said in heard if name in ("begin", "begin_alone", "finish")]
    assert of_images == [("begin", ids), ("finish", dict.fromkeys(ids))]
    assert ray.get(ledger.tally.remote()).labelled - labelled_before == len(ids)


def test_a_fourth_attempt_is_not_made(ledger: Any) -> None:
    table = fetched([photo(0)])
    for _ in range(3):
        ray.get(ledger.begin_alone.remote(table["image_id"][0].as_py()))
    generator = Ahead(0)
    labelled = Labeler(SETTINGS, lambda _: generator, ledger)(table)
    assert errors(labelled) == {"0": "WORKER_CRASH"}
    assert generator.streams == []


def test_nothing_begins_once_the_run_stops() -> None:
    ledger = new_ledger()
    ray.get(ledger.stop.remote())
    labelled = Labeler(SETTINGS, stand_in(), ledger)(fetched([photo(0), photo(1)]))
    assert labelled.num_rows == 0


def test_vectors_become_columns_if_the_run_asks_for_them(ledger: Any) -> None:
    asked = replace(SETTINGS, mask=MaskOptions(mask_embeddings=True))
    table = fetched([photo(0), b"text", photo(1)])
    labelled = Labeler(asked, lambda _: Described(0.0, None), ledger)(table)
    assert labelled.schema.equals(SCHEMA_WITH_VECTORS)
    rows = {row["uri"][-1]: row for row in labelled.to_pylist()}
    assert rows["1"]["mask_embedding"] is rows["1"]["image_embedding"] is None
    for name in ("0", "2"):
        assert rows[name]["mask_embedding"] == [[float(place)] * 256 for place in range(3)]
        assert rows[name]["image_embedding"] == [24.0] * 256


def test_masks_are_those_of_the_upright_pixels(ledger: Any) -> None:
    (row,) = Labeler(SETTINGS, stand_in(), ledger)(fetched([photo(9)])).to_pylist()
    assert (row["width"], row["height"], row["num_masks"]) == (26, 24, 3)
    assert np.sum(row["mask_area"]) > 0


@pytest.mark.parametrize("last", ["sound", "raises", "no image"])
@pytest.mark.parametrize("ahead", [0, 2, 9])
def test_a_stream_goes_on_from_block_to_block(ledger: Any, ahead: int, last: str) -> None:
    generator = Gated(ahead)
    blocks = block_stream(generator, ledger)
    end = {"sound": photo(2), "raises": photo(2, poison="raise"), "no image": b"text"}[last]
    first, second = [photo(0), photo(1), end], [photo(number) for number in range(3, 8)]
    table = fetched(first + second)
    given = [blocks.rows_of(table.slice(0, 3)), blocks.rows_of(table.slice(3))]
    generator.may_begin.set()
    rows = [each.result(60) for each in given]
    assert [len(each) for each in rows] == [3, 5]
    assert names(rows[0]) == {"0", "1", "2"} - ({"2"} if last != "sound" else set())
    assert names(rows[1]) == {"3", "4", "5", "6", "7"}
    if last == "sound":
        assert generator.streams == [8]
    # and from turn to turn
    assert names(blocks.rows_of(fetched([photo(0)])).result(60)) == {"0"}


def test_a_suspect_of_the_next_block_waits_for_the_masks_of_the_one_before(ledger: Any) -> None:
    generator = Gated(9)
    blocks = block_stream(generator, ledger)
    table = fetched([photo(number) for number in range(4)])
    ray.get(ledger.begin_alone.remote(table["image_id"][2].as_py()))  # a labeler began it and died
    given = [blocks.rows_of(table.slice(0, 2)), blocks.rows_of(table.slice(2))]
    generator.may_begin.set()
    assert [names(each.result(60)) for each in given] == [{"0", "1"}, {"2", "3"}]
    assert generator.streams == [2, 1, 1]


def test_what_no_image_is_at_fault_for_reaches_all_who_wait(
    ledger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = Gated(9)
    blocks = block_stream(generator, ledger)

    def fails(*_: Any) -> Any:
        raise SamLabelError("no decoder starts here")

    table = fetched([photo(number) for number in range(4)])
    given = [blocks.rows_of(table.slice(0, 2))]
    with monkeypatch.context() as patched:
        patched.setattr(DecodePool, "decode", fails)
        given.append(blocks.rows_of(table.slice(2)))
        generator.may_begin.set()
        for each in given:
            with pytest.raises(SamLabelError, match="no decoder starts here"):
                each.result(60)
    assert names(blocks.rows_of(table).result(60)) == {"0", "1", "2", "3"}


def test_rows_made_before_the_run_stops_are_handed_on() -> None:
    ledger = new_ledger()

    class Stops(Ahead):
        def generate_masks(self, image: np.ndarray) -> ImageMasks:
            ray.get(ledger.stop.remote())
            return super().generate_masks(image)

    blocks = block_stream(Stops(1), ledger)
    given = [blocks.rows_of(fetched([photo(0), photo(1), photo(2)])) for _ in range(2)]
    # two had been begun when the masks of the first came
    assert [names(each.result(60)) for each in given] == [{"0", "1"}, set()]
