"""The labeler as Ray calls it, with a ledger that is a plain object called like a Ray actor."""

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import ray
from labeler_parts import SETTINGS, Ahead, fetched, new_ledger
from stand_in_generator import StandInGenerator, photo, stand_in

from pipeline.cluster.attempts import Tally
from pipeline.cluster.watch import FullCluster, Standstill
from pipeline.labelling.labeler import Labeler
from pipeline.output.format.schema import SCHEMA_WITH_VECTORS
from sam_core.masks.image_masks import ImageMasks
from sam_core.options import MaskOptions

pytestmark = pytest.mark.usefixtures("one_ray")


@pytest.fixture(scope="module")
def ledger(one_ray: None) -> Any:
    """One ledger for all tests; each test's images have different ids."""
    return new_ledger()


class Described(StandInGenerator):
    """Gives each mask a vector of its index, and the image a vector of its height."""

    def generate_masks(self, image: np.ndarray) -> ImageMasks:
        masks = super().generate_masks(image)
        vectors = np.repeat(np.arange(len(masks), dtype=np.float16)[:, None], 256, axis=1)
        return replace(masks, embedding=vectors, image_embedding=np.full(256, masks.height, np.float16))


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
    monkeypatch.setattr("pipeline.labelling.beats.BEAT_S", 1e6)  # so that every labeler counts as fast
    heard: list[tuple[str, Any]] = []

    class Heard:
        """Passes calls on, and records them."""

        def __getattr__(self, name: str) -> Any:
            def remote(said: Any, *more: Any) -> Any:
                heard.append((name, said))
                return getattr(ledger, name).remote(said, *more)

            return SimpleNamespace(remote=remote)

    labeler = Labeler(SETTINGS, stand_in(), Heard())
    first = fetched([photo(0), photo(1)])
    labeler(first)  # by which it knows its pace
    assert [said for name, said in heard if name == "begin"] == [
        [one] for one in first["image_id"].to_pylist()
    ]
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


def test_a_run_that_finds_no_room_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    full = FullCluster(due_s=0.0)
    full.look(Tally(has_labelers=True))
    assert caplog.messages == []
    for _ in range(2):
        full.look(Tally())
    (said,) = caplog.messages
    assert re.fullmatch(
        r"no labeler has started in 60 s: the cluster has only \S+ of 2 CPUs free; "
        "the run waits for room",
        said,
    )


def test_a_run_that_stands_still_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    still = Standstill(still_s=0.0)
    for _ in range(3):
        still.look(Tally())
    assert caplog.messages == [], "labelers are still loading the model"
    for labelled in (0, 0, 0, 1):
        still.look(Tally(labelled=labelled, has_labelers=True))
    (said,) = caplog.messages
    assert said.startswith(
        "no image was finished in the last 0 min; 1 of 1 nodes of the cluster are alive; unless"
    )
    still.look(Tally(labelled=1, has_labelers=True))
    assert len(caplog.messages) == 2, "after work has gone on, a second standstill is told too"


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
