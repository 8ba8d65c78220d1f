"""Blocks that go through a labeler as one stream: each image's row ends in its own block, come what may."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import ray
from labeler_parts import SETTINGS, Ahead, Gated, block_stream, fetched, new_ledger
from stand_in_generator import StandInGenerator, photo

from pipeline.errors import SamLabelError
from pipeline.images.decode_pool import DecodePool
from pipeline.metrics.work import WorkClock
from sam_core.masks.image_masks import ImageMasks

pytestmark = pytest.mark.usefixtures("one_ray")


@pytest.fixture(scope="module")
def ledger(one_ray: None) -> Any:
    """One ledger for all tests; each test's images have different ids."""
    return new_ledger()


def names(labelled: pa.Table) -> set[str]:
    return {row["uri"][-1] for row in labelled.to_pylist() if row["status"] == "ok"}


@pytest.mark.parametrize("last", ["sound", "raises", "no image"])
@pytest.mark.parametrize("ahead", [0, 2, 9])
def test_a_stream_goes_on_from_block_to_block(ledger: Any, ahead: int, last: str) -> None:
    generator = Gated(ahead)
    blocks = block_stream(generator, ledger)
    end = {"sound": photo(2), "raises": photo(2, poison="raise"), "no image": b"text"}[last]
    first, second = [photo(0), photo(1), end], [photo(number) for number in range(3, 8)]
    table = fetched(first + second)
    given = [blocks.labelled(table.slice(0, 3)), blocks.labelled(table.slice(3))]
    generator.may_begin.set()
    rows = [each.result(60) for each in given]
    assert [len(each) for each in rows] == [3, 5]
    assert names(rows[0]) == {"0", "1", "2"} - ({"2"} if last != "sound" else set())
    assert names(rows[1]) == {"3", "4", "5", "6", "7"}
    if last == "sound":
        assert generator.streams == [8]
    # a later stream works as well
    assert names(blocks.labelled(fetched([photo(0)])).result(60)) == {"0"}


def test_a_suspect_of_the_next_block_waits_for_the_masks_of_the_one_before(ledger: Any) -> None:
    generator = Gated(9)
    blocks = block_stream(generator, ledger)
    table = fetched([photo(number) for number in range(4)])
    ray.get(ledger.begin_alone.remote(table["image_id"][2].as_py()))  # a labeler began it and died
    given = [blocks.labelled(table.slice(0, 2)), blocks.labelled(table.slice(2))]
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
    given = [blocks.labelled(table.slice(0, 2))]
    with monkeypatch.context() as patched:
        patched.setattr(DecodePool, "decode", fails)
        given.append(blocks.labelled(table.slice(2)))
        generator.may_begin.set()
        for each in given:
            with pytest.raises(SamLabelError, match="no decoder starts here"):
                each.result(60)
    assert names(blocks.labelled(table).result(60)) == {"0", "1", "2", "3"}


@pytest.mark.parametrize("where", ["before the generator", "in the generator"])  # there, of a window
def test_a_labeler_without_decoders_ends_and_fails_no_image(
    ledger: Any, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    class Ended(BaseException):
        """Raised instead of ending the process."""

    def ends(_: Any, why: str) -> None:
        raise Ended(why)

    def without_decoder(*_: Any) -> Any:
        DecodePool(1, SETTINGS.decode_limits, program="no_such_program").await_start()

    monkeypatch.setattr("pipeline.labelling.beats.die_with_warning", ends)
    generator = Ahead(0)
    whose: Any = {"before the generator": DecodePool, "in the generator": generator}[where]
    monkeypatch.setattr(whose, "decode" if whose is DecodePool else "generate_masks", without_decoder)
    blocks = block_stream(generator, ledger)
    with pytest.raises(Ended, match="a labeler stops: a decoder did not start on"):
        blocks.labelled(fetched([photo(0)])).result(60)


@pytest.mark.parametrize("before", [1, 2])
def test_rows_are_in_the_order_of_their_images(ledger: Any, before: int) -> None:
    """Also after other blocks, and although a broken image is finished before the images started ahead."""
    blocks = block_stream(generator := Gated(2), ledger)
    given = [
        blocks.labelled(fetched([photo(number) for number in range(before)])),
        blocks.labelled(fetched([b"text" if number == 4 else photo(number) for number in range(6)])),
    ]
    generator.may_begin.set()
    rows = [each.result(60).to_pylist() for each in given]
    assert [row["uri"][-1] for row in rows[1]] == list("012345")
    assert len(rows[0]) == before


def test_rows_made_before_the_run_stops_are_handed_on() -> None:
    ledger = new_ledger()

    class Stops(Ahead):
        def generate_masks(self, image: np.ndarray) -> ImageMasks:
            ray.get(ledger.stop.remote())
            return super().generate_masks(image)

    blocks = block_stream(Stops(1), ledger)
    given = [blocks.labelled(fetched([photo(0), photo(1), photo(2)])) for _ in range(2)]
    # two had been begun when the masks of the first came
    assert [names(each.result(60)) for each in given] == [{"0", "1"}, set()]


def test_a_block_is_put_together_before_another_ones_image_is_begun_alone(
    ledger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a labeler dies while it builds a table of rows, no image is suspected, even in the next block."""
    generator, begun_at_death = Gated(0), list[int]()
    blocks = block_stream(generator, ledger)
    table = fetched([photo(number) for number in range(4)])
    suspect = table["image_id"][2].as_py()
    ray.get(ledger.begin_alone.remote(suspect))

    def dies(*_: Any) -> Any:
        begun_at_death.append(ray.get(ledger.begin_alone.remote(suspect)) - 1)
        raise SystemExit

    monkeypatch.setattr("pipeline.labelling.block_stream.table_of", dies)
    given = [blocks.labelled(table.slice(0, 2)), blocks.labelled(table.slice(2))]
    generator.may_begin.set()
    with pytest.raises(SystemExit):
        given[0].result(60)
    assert begun_at_death == [1], "as often as before"


def test_a_block_ends_with_its_last_image_though_that_has_no_masks(ledger: Any) -> None:
    class Waits(StandInGenerator):
        def generate_masks(self, image: np.ndarray) -> ImageMasks:
            if image.shape[1] == photo_width(2):  # the first image of the second block
                assert first.result(60).num_rows == 2
            return super().generate_masks(image)

    blocks = block_stream(Waits(0.0, None), ledger)
    may_end = Event()
    blocks._thread.submit(may_end.wait)
    first = blocks.labelled(fetched([photo(1), b"text"]))
    second = blocks.labelled(fetched([photo(2)]))
    may_end.set()
    assert second.result(60)["error"].to_pylist() == [None]


def photo_width(seed: int) -> int:
    return 24 + seed % 7


def test_the_ledger_hears_of_a_block_before_its_call_returns(ledger: Any) -> None:
    blocks = block_stream(Ahead(0), ledger)
    before = ray.get(ledger.tally.remote()).labelled
    for number in range(1, 4):
        blocks.labelled(fetched([photo(number)])).result(60)
        assert ray.get(ledger.tally.remote()).labelled == before + number


def test_what_was_finished_is_told_before_a_suspect_begins(ledger: Any) -> None:
    table = fetched([photo(0), photo(1)])
    ids = table["image_id"].to_pylist()
    ray.get(ledger.begin_alone.remote(ids[1]))
    seen = list[int]()

    class Looks(StandInGenerator):
        def generate_masks(self, image: np.ndarray) -> ImageMasks:
            seen.append(ray.get(ledger.tally.remote()).labelled)
            return super().generate_masks(image)

    block_stream(Looks(0.0, None), ledger).labelled(table).result(60)
    assert seen[1] == seen[0] + 1


def test_a_wait_for_a_decoder_and_one_for_a_block_count_as_waiting(
    ledger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s, decode, waits = 0.0, DecodePool.decode, Event()

    class Clock(WorkClock):
        @contextmanager
        def waiting(self, idle_since: Callable[[], float]) -> Iterator[None]:
            with super().waiting(idle_since):
                waits.set()
                yield
            waits.clear()

    def slow(*told: Any) -> Any:
        nonlocal now_s
        assert waits.wait(60)
        now_s += 4
        return decode(*told)

    monkeypatch.setattr("pipeline.metrics.work.time.perf_counter", lambda: now_s)
    monkeypatch.setattr(DecodePool, "decode", slow)
    clock = Clock()
    blocks = block_stream(Ahead(0), ledger, clock)
    blocks.labelled(fetched([photo(0)])).result(60)
    blocks._thread.submit(lambda: None).result(60)  # the turn has ended
    in_first = clock.read()
    now_s += 10
    blocks.labelled(fetched([photo(1)])).result(60)
    blocks._thread.submit(lambda: None).result(60)
    work = in_first + clock.read()
    assert (work.waiting_s, work.busy_s) == (4 + 10 + 4, 0)
