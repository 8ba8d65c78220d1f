"""A run killed between any two steps of the protocol: readers see whole rows, and a rerun completes it.

SIGKILL ends the working process before its first change to the disk, in the next try before its second, and
so on to the last: "after" a step is "before" the next. The removal of a temporary file is a step too.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dataset_rows import globbed

from pipeline.output.commands.compact import compact
from pipeline.output.commands.gc import collect
from pipeline.output.commands.merge import merge
from pipeline.output.commands.retry import retry
from pipeline.output.commands.validate import validate
from pipeline.output.dataset import Dataset
from pipeline.output.format.identity import Identity
from pipeline.store.storage import Store
from sam_core.options import MaskOptions

# in two shards, and in three
NAMES = [f"{number:02d}" for number in range(5)]
MORE_NAMES = [f"{number:02d}" for number in range(7)]
Work = Callable[[Path], None]


def survives(
    tmp_path: Path, killed_before: Any, before: Work, work: Work, again: Work, expected: list[dict[str, Any]]
) -> None:
    """Kills `work` before each of its steps, on a new copy of what `before` made; `again` completes it."""
    start, undisturbed = tmp_path / "start", tmp_path / "undisturbed"
    start.mkdir()
    before(start)
    old = globbed(start)
    shutil.copytree(start, undisturbed)
    steps = killed_before(lambda: work(undisturbed), None)
    assert steps > 10
    for step in range(steps):
        output = tmp_path / f"killed-{step}"
        shutil.copytree(start, output)
        assert killed_before(lambda output=output: work(output), step) is None
        assert_readable(output, old, expected)
        again(output)
        assert validate(str(output)).problems == [], f"killed before step {step}"
        assert globbed(output) == expected, f"killed before step {step}"


def assert_readable(output: Path, old: list[dict[str, Any]], new: list[dict[str, Any]]) -> None:
    """A reader right after the kill sees whole rows, each image at most once, in its old or its new row."""
    dataset = Dataset.in_store_or_none(Store.at(str(output)))
    if dataset is not None:
        rows = dataset.table().to_pylist()
        uris = [row["uri"] for row in rows]
        assert len(uris) == len(set(uris)) == dataset.rows
        assert all(row in old or row in new for row in rows)


def leave(output: Path, task: int) -> None:
    """Leaves a shard as a killed run does that has not committed it."""
    shutil.copy(output / "data" / "r00001-000000.parquet", output / "data" / f"r00001-{task:06d}.parquet")


def nothing(output: Path) -> None:
    """An output that does not exist yet."""


def test_a_first_run(tmp_path: Path, rehearsal, killed_before) -> None:
    photos = rehearsal(NAMES)

    def run(output: Path) -> None:
        photos.run(Store.at(str(output)))

    survives(tmp_path, killed_before, nothing, run, run, photos.rows())


def test_a_resumed_run(tmp_path: Path, rehearsal, killed_before) -> None:
    photos = rehearsal(MORE_NAMES)

    def first(output: Path) -> None:
        photos.run(Store.at(str(output)), shards=2)
        leave(output, 77)

    def run(output: Path) -> None:
        photos.run(Store.at(str(output)))

    survives(tmp_path, killed_before, first, run, run, photos.rows())


def test_a_refresh(tmp_path: Path, rehearsal, killed_before) -> None:
    photos, changed = rehearsal(NAMES), rehearsal([*NAMES, "new"])
    changed.etags |= {"file:///photos/01": "2", "file:///photos/04": "2"}

    def first(output: Path) -> None:
        photos.run(Store.at(str(output)))

    def refresh(output: Path) -> None:
        changed.run(Store.at(str(output)), refresh=True)

    survives(tmp_path, killed_before, first, refresh, refresh, changed.rows())


def test_an_overwrite_by_other_settings(tmp_path: Path, rehearsal, killed_before) -> None:
    photos, other = rehearsal(NAMES), rehearsal(NAMES[1:])
    other.identity = Identity("vit_b", "1" * 64, MaskOptions(points_per_side=8))

    def first(output: Path) -> None:
        photos.run(Store.at(str(output)))

    def overwrite(output: Path) -> None:
        other.run(Store.at(str(output)), overwrite=True)

    survives(tmp_path, killed_before, first, overwrite, overwrite, other.rows())


def test_a_retry(tmp_path: Path, rehearsal, killed_before) -> None:
    photos = rehearsal(NAMES)

    def first(output: Path) -> None:
        photos.run(Store.at(str(output)))

    def queue(output: Path) -> None:
        assert retry(str(output))

    def queue_and_run(output: Path) -> None:
        retry(str(output))
        photos.run(Store.at(str(output)))

    survives(tmp_path, killed_before, first, queue, queue_and_run, photos.rows())


def test_a_gc(tmp_path: Path, rehearsal, killed_before) -> None:
    photos = rehearsal(NAMES)

    def first(output: Path) -> None:
        photos.run(Store.at(str(output)))
        leave(output, 77)
        leave(output, 78)

    def gc(output: Path) -> None:
        assert collect(str(output)).files == 2

    survives(tmp_path, killed_before, first, gc, lambda output: collect(str(output)), photos.rows())


def test_a_compact(tmp_path: Path, rehearsal, killed_before) -> None:
    photos = rehearsal(NAMES)

    def first(output: Path) -> None:
        photos.run(Store.at(str(output)))
        leave(output, 77)

    def put_together(output: Path) -> None:
        assert compact(str(output)).shards == 1

    def again(output: Path) -> None:
        """Compacts if that was not done before the kill; gc then sweeps the old files, as after any kill."""
        compact(str(output))
        collect(str(output))
        assert len(list(output.glob("data/*.parquet"))) == 1

    survives(tmp_path, killed_before, first, put_together, again, photos.rows())


def test_a_run_that_goes_on_after_a_killed_compact(tmp_path: Path, rehearsal, killed_before) -> None:
    photos = rehearsal(MORE_NAMES)

    def first(output: Path) -> None:
        photos.run(Store.at(str(output)), shards=2)

    def put_together(output: Path) -> None:
        assert compact(str(output)).shards == 1

    def run(output: Path) -> None:
        photos.run(Store.at(str(output)))

    survives(tmp_path, killed_before, first, put_together, run, photos.rows())


def test_a_merge(tmp_path: Path, rehearsal, killed_before) -> None:
    halves = rehearsal(NAMES[:4]), rehearsal(NAMES[3:])
    places = [str(tmp_path / name) for name in ("one", "other")]
    for photos, place in zip(halves, places, strict=True):
        photos.run(Store.at(place))

    def put_together(output: Path) -> None:
        assert merge(places, str(output)).held_twice == 1

    survives(tmp_path, killed_before, nothing, put_together, put_together, rehearsal(NAMES).rows())
