"""An output that is deleted or copied in part: no run counts or destroys the rows of another."""

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from dataset_rows import globbed

from pipeline.config import FilterConfig
from pipeline.errors import StoreError, UsageError
from pipeline.output.commands.filter import filtered_dataset
from pipeline.output.commands.merge import merge
from pipeline.output.commands.validate import validate
from pipeline.output.dataset import Dataset
from pipeline.output.format.identity import Identity
from pipeline.output.lock import current_holder, held_lock, newest_generation, refuse_without_lock
from pipeline.output.writer import Listing, OutputRun, _listed, open_output
from pipeline.store.storage import Store
from sam_core.options import MaskOptions

NAMES = [f"{number:02d}" for number in range(7)]
IS_GONE = "the lock of run r00001 is not there"


def opened(photos: Any, store: Store) -> Any:
    return open_output(store, photos.identity, Listing(photos.source, photos.listing))


def test_a_copy_without_locks_gives_no_number_of_a_run_again(tmp_path: Path, rehearsal) -> None:
    photos, store = rehearsal(NAMES), Store.at(str(tmp_path))
    photos.run(store)
    photos.run(store, refresh=True)
    shutil.rmtree(tmp_path / "_lock")
    photos.etags["file:///photos/000"] = "1"
    photos.run(store, refresh=True)
    assert validate(str(tmp_path)).problems == []
    assert globbed(tmp_path) == photos.rows()
    assert Dataset.in_store(store).record.run == "r00003"


def test_a_copy_with_older_locks_than_records_gives_none_again_either(tmp_path: Path, rehearsal) -> None:
    photos, store = rehearsal(NAMES), Store.at(str(tmp_path))
    photos.run(store)
    shutil.copytree(tmp_path / "_lock", tmp_path / "copied first")
    photos.run(store, refresh=True)
    shutil.rmtree(tmp_path / "_lock")
    (tmp_path / "copied first").rename(tmp_path / "_lock")
    photos.etags["file:///photos/000"] = "1"
    photos.run(store, refresh=True)
    assert validate(str(tmp_path)).problems == []


def test_without_locks_no_name_of_a_killed_retry_is_used_again(tmp_path: Path, rehearsal) -> None:
    store = Store.at(str(tmp_path))
    rehearsal(NAMES).run(store)
    store.publish("data/r00005-kept000000.parquet", b"of a retry that was killed before its record")
    shutil.rmtree(tmp_path / "_lock")
    with held_lock(store) as lock:
        assert lock.generation == 6


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("lost", [["_runs"], ["_runs", "_lock"], ["_runs", "_lock", "_commits", "manifest"]])
def test_shards_without_a_run_record_are_neither_counted_nor_deleted(
    tmp_path: Path, rehearsal, lost: list[str], overwrite: bool
) -> None:
    photos, store = rehearsal(NAMES), Store.at(str(tmp_path))
    photos.run(store)
    for folder in lost:
        shutil.rmtree(tmp_path / folder)
    with pytest.raises(UsageError, match="but lacks _runs/, which says what counts; copy the whole dataset"):
        rehearsal(["other"]).run(store, overwrite=overwrite)
    assert globbed(tmp_path) == photos.rows()


def test_a_dataset_json_of_another_program_is_left_alone(tmp_path: Path, rehearsal) -> None:
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(UsageError, match=r"holds dataset\.json but lacks _runs/"):
        rehearsal(NAMES).run(Store.at(str(tmp_path)))
    assert (tmp_path / "dataset.json").read_text() == "{}"


def filtered(first: Path, second: Path, output: Path) -> None:
    config = {"input": str(first), "output": str(output), "mask": {"pred_iou_thresh": 0.89}}
    filtered_dataset(FilterConfig.model_validate(config))


def merged(first: Path, second: Path, output: Path) -> None:
    merge([str(first), str(second)], str(output))


@pytest.mark.parametrize("command", [filtered, merged])
def test_a_dataset_made_anew_in_the_place_of_a_deleted_one_is_another_input(
    tmp_path: Path, rehearsal, command: Callable[[Path, Path, Path], None]
) -> None:
    first, second, output = (tmp_path / name for name in ("first", "second", "output"))
    rehearsal(NAMES).run(Store.at(str(first)))
    rehearsal(["a", "b"]).run(Store.at(str(second)))
    command(first, second, output)
    command(first, second, output)
    shutil.rmtree(first)
    rehearsal([*NAMES, "new"]).run(Store.at(str(first)))
    with pytest.raises(UsageError, match=r"or a new dataset in its place, begins another set of rows"):
        command(first, second, output)


def test_a_run_whose_output_was_deleted_ends_and_leaves_nothing_there(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path / "out"))
    ends = pytest.raises(StoreError, match=IS_GONE)
    with ends, held_lock(store, beat_s=0.01) as lock:
        shutil.rmtree(tmp_path / "out")
        lock._beating.join()  # the thread ends by itself
        lock.check()
    assert not (tmp_path / "out").exists()


def test_a_listing_ends_when_the_output_is_deleted(tmp_path: Path, rehearsal) -> None:
    photos, store = rehearsal(NAMES), Store.at(str(tmp_path / "out"))

    def rows() -> Any:
        yield from photos.listing()
        shutil.rmtree(tmp_path / "out")
        holder._beating.join()

    with pytest.raises(StoreError, match=IS_GONE), held_lock(store, beat_s=0.01) as holder:
        _listed(store, holder, None, photos.identity, Listing(photos.source, rows), "label", {})
    assert not (tmp_path / "out").exists()


def test_a_new_run_in_the_place_of_a_deleted_output_is_left_alone_by_the_old_one(
    tmp_path: Path, rehearsal
) -> None:
    store, old, new = Store.at(str(tmp_path / "out")), rehearsal([*NAMES, "more"]), rehearsal(NAMES)
    new.identity = Identity("vit_t", "1" * 64, MaskOptions())
    with ExitStack() as runs:
        late = pytest.raises(StoreError, match=IS_GONE)
        with late, opened(old, store) as asleep:
            shutil.rmtree(tmp_path / "out")
            current: OutputRun = runs.enter_context(opened(new, store))
            assert current.run == asleep.run == "r00001"
            sink = asleep.sink()
            with pytest.raises(StoreError, match=IS_GONE):
                refuse_without_lock(store, sink.generation, sink.word)
        holder = current_holder(store)  # the old one has neither released its lock
        assert holder is not None
        assert holder.word == current.lock.word
        new.label(current)
    assert Dataset.in_store(store).identity == new.identity  # nor written its record
    assert validate(str(tmp_path / "out")).problems == []
    assert globbed(tmp_path / "out") == new.rows()
    assert newest_generation(store) == 1
