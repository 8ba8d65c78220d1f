"""No command deletes, counts or stumbles over a file whose whole name is not a dataset's."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from strangers import NAMES, lost, own_names, plant

from pipeline.config import FilterConfig
from pipeline.errors import UsageError
from pipeline.output.commands.filter import filtered_dataset
from pipeline.output.commands.gc import collect
from pipeline.output.commands.retry import retry
from pipeline.output.commands.status import status
from pipeline.output.commands.validate import validate
from pipeline.output.commits import now
from pipeline.output.dataset import Dataset
from pipeline.output.format.identity import Identity
from pipeline.output.lock import Holder, held_lock
from pipeline.output.process_identity import this_process
from pipeline.store.storage import Store
from sam_core.options import MaskOptions

IMAGES = [f"{number:02d}.jpg" for number in range(9)]


def refreshed(photos: Any, store: Store) -> None:
    photos.etags |= {"file:///photos/00.jpg": "2", "file:///photos/new.jpg": "1"}
    photos.run(store, refresh=True)


def retried(photos: Any, store: Store) -> None:
    assert retry(store.url) > 0
    photos.run(store)


def collected(photos: Any, store: Store) -> None:
    ours = {"data/r00001-000099.parquet", "_commits/.tmp-r00001-000099.json-0123abcd"}
    ours |= {".tmp-dataset.json-0123abcd"}
    for name in ours:
        store.publish(name, b"left by a killed run")
    assert ours < own_names(store)
    assert collect(store.url).files == len(ours)
    assert not ours & own_names(store)


COMMANDS: list[Callable[[Any, Store], None]] = [
    lambda photos, store: photos.run(store),
    refreshed,
    retried,
    collected,
    lambda photos, store: photos.run(store, overwrite=True),
]


@pytest.mark.parametrize("command", COMMANDS, ids=["run", "refresh", "retry", "gc", "overwrite"])
def test_every_stranger_stays(tmp_path: Path, rehearsal, command: Callable[[Any, Store], None]) -> None:
    photos, store = rehearsal(IMAGES), Store.at(str(tmp_path))
    photos.run(store, shards=2)
    photos.run(store)
    plant(store)
    command(photos, store)
    assert lost(store) == []
    assert validate(str(tmp_path)).problems == []
    assert status(str(tmp_path)).left == 0
    rows = Dataset.in_store(store).table().to_pylist()
    assert sorted(rows, key=lambda row: row["uri"]) == photos.rows()


@pytest.mark.parametrize("command", COMMANDS, ids=["run", "refresh", "retry", "gc", "overwrite"])
def test_no_file_of_a_folder_that_is_a_link_is_deleted(
    tmp_path: Path, rehearsal, command: Callable[[Any, Store], None]
) -> None:
    photos, store = rehearsal(IMAGES), Store.at(str(tmp_path / "new"))
    photos.run(store)
    elsewhere = Store.at(str(tmp_path / "elsewhere"))
    for run in ("r00000", "r00001"):
        elsewhere.publish(f"{run}-00000.parquet", b"mine")
    (tmp_path / "new" / "duplicates").symlink_to("../elsewhere")
    command(photos, store)
    assert own_names(elsewhere) == {"r00000-00000.parquet", "r00001-00000.parquet"}


@pytest.mark.parametrize(
    "command",
    [*COMMANDS[:3], lambda _, store: collect(store.url), COMMANDS[4]],
    ids=["run", "refresh", "retry", "gc", "overwrite"],
)
@pytest.mark.parametrize("folder", ["data", "_runs", "_lock"])
def test_a_folder_that_is_a_link_to_another_dataset_is_refused(
    tmp_path: Path, rehearsal, command: Callable[[Any, Store], None], folder: str
) -> None:
    photos, store, other = rehearsal(IMAGES), Store.at(str(tmp_path / "new")), Store.at(str(tmp_path / "old"))
    photos.run(other)
    before = {name: other.read(name) for name in own_names(other)}
    photos.run(store)
    (tmp_path / "new" / folder).rename(tmp_path / "moved")
    (tmp_path / "new" / folder).symlink_to(f"../old/{folder}")
    with pytest.raises(UsageError, match=f"{folder} is a link to .*old/{folder}, a folder of a dataset"):
        command(photos, Store.at(str(tmp_path / "new")))
    assert {name: other.read(name) for name in own_names(other)} == before


def test_a_data_folder_on_another_disk_is_read_and_written(tmp_path: Path, rehearsal) -> None:
    photos, store = rehearsal(IMAGES), Store.at(str(tmp_path / "masks"))
    photos.run(store, shards=2)
    (tmp_path / "masks" / "data").rename(tmp_path / "large")
    (tmp_path / "masks" / "data").symlink_to(tmp_path / "large")
    photos.run(store)
    assert validate(store.url).problems == []
    assert status(store.url).left == 0


def test_filtering_leaves_the_strangers_of_both_datasets(tmp_path: Path, rehearsal) -> None:
    photos = rehearsal(IMAGES)
    photos.identity = Identity("vit_t", "0" * 64, MaskOptions(box_nms_thresh=1, crop_nms_thresh=1))
    loose, tight = Store.at(str(tmp_path / "loose")), Store.at(str(tmp_path / "tight"))
    photos.run(loose, shards=1)
    config = FilterConfig(input=loose.url, output=tight.url, mask=MaskOptions(pred_iou_thresh=0.89))
    filtered_dataset(config)
    photos.run(loose)
    plant(loose)
    plant(tight)
    filtered_dataset(config)
    assert lost(loose) + lost(tight) == []
    assert Dataset.in_store(tight).rows == len(IMAGES)
    assert validate(tight.url).problems == []


def test_overwriting_says_that_strangers_stay(
    tmp_path: Path, rehearsal, caplog: pytest.LogCaptureFixture
) -> None:
    photos, store = rehearsal(IMAGES), Store.at(str(tmp_path))
    photos.run(store)
    photos.run(store, overwrite=True)
    assert "they stay" not in caplog.text
    (tmp_path / "notes.txt").write_text("mine")
    with caplog.at_level(logging.WARNING):
        photos.run(store, overwrite=True)
    assert (
        f"{store.url} holds files that are not part of a dataset, such as notes.txt; they are not deleted"
        in caplog.text
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_place_that_holds_a_stranger_and_no_dataset_is_refused(
    tmp_path: Path, rehearsal, name: str
) -> None:
    store = Store.at(str(tmp_path))
    store.publish(name, b"mine")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="holds other files"):
            rehearsal(IMAGES).run(store, overwrite=overwrite)
    assert own_names(store) == set()


def test_what_a_killed_first_run_has_left_is_no_stranger(tmp_path: Path, rehearsal) -> None:
    photos, store = rehearsal(IMAGES), Store.at(str(tmp_path))
    with held_lock(store):
        pass  # its leftovers are named for the run r00001
    for name in (
        "manifest/r00001-00000.parquet",
        "manifest/.tmp-r00001-00001.parquet-0123abcd",
        f"_lock/probe-{'0' * 32}",
        "_lock/.tmp-00001.json-0123abcd",
        ".tmp-dataset.json-0123abcd",
        "_runs/r00001.log.jsonl",  # of one whose output was deleted
    ):
        store.publish(name, b"left")
    photos.run(store)
    assert validate(str(tmp_path)).problems == []
    assert collect(str(tmp_path)).files == 1  # .tmp-dataset.json; the run itself swept the other two
    assert not {name for name in own_names(store) if "manifest/" in name} - set(
        Dataset.in_store(store).record.manifest
    )


def test_a_new_dataset_may_lie_beside_a_report_and_a_card(tmp_path: Path, rehearsal) -> None:
    photos, store = rehearsal(IMAGES), Store.at(str(tmp_path))
    for name in ("report.html", "README.md", "croissant.json"):
        store.publish(name, b"of another dataset")
    photos.run(store)
    assert validate(str(tmp_path)).problems == []
    assert store.read("report.html") == store.read("README.md") == b"of another dataset"


def test_a_folder_in_the_place_of_a_lock_is_told(tmp_path: Path) -> None:
    (tmp_path / "_lock" / "00001.json").mkdir(parents=True)
    with (
        pytest.raises(UsageError, match=r"_lock/00001\.json is in the way and is not a lock; move it"),
        held_lock(Store.at(str(tmp_path))),
    ):
        pytest.fail("a lock that nobody could create was held")


def test_a_lock_that_is_no_lock_is_told(tmp_path: Path) -> None:
    (tmp_path / "_lock").mkdir()
    of_another_number = Holder(3, this_process(), "word", now(), released=True).to_json().decode()
    of_no_moment = Holder(1, this_process(), "word", "2026-11-29T12:00:00").to_json().decode()
    for content in ("", "{", "[]", '{"a newer version": 1}', of_another_number, of_no_moment):
        (tmp_path / "_lock" / "00001.json").write_text(content)
        with (
            pytest.raises(UsageError, match=r"_lock/00001\.json is not a lock of this version"),
            held_lock(Store.at(str(tmp_path))),
        ):
            pytest.fail("somebody else's file was taken for a released lock")


def test_a_lock_that_leads_nowhere_ends_the_wait(tmp_path: Path) -> None:
    (tmp_path / "_lock").mkdir()
    (tmp_path / "_lock" / "00001.json").symlink_to(tmp_path / "gone")
    with pytest.raises(Exception, match=r"_lock/00001\.json"), held_lock(Store.at(str(tmp_path))):
        pytest.fail("a link was taken for a released lock")
