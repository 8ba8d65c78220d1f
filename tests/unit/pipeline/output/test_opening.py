"""A place with no dataset, none yet or a newer release's: all that open it say so, and write nothing."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.config import FilterConfig
from pipeline.errors import DamagedFile, UsageError
from pipeline.export.export import exported
from pipeline.export_config import ExportConfig
from pipeline.output.commands.compact import compact
from pipeline.output.commands.filter import filtered_dataset
from pipeline.output.commands.gc import collect
from pipeline.output.commands.merge import merge
from pipeline.output.commands.retry import retry
from pipeline.output.commands.status import status
from pipeline.output.commands.validate import validate
from pipeline.reading.dataset import Dataset
from pipeline.statistics.statistics import statistics
from pipeline.store.storage import Store

NAMES = [f"{number:02d}" for number in range(4)]
DATASET_OPENERS: dict[str, Callable[[str, str], object]] = {
    "open": lambda output, new: Dataset.open(output),
    "status": lambda output, new: status(output),
    "validate": lambda output, new: validate(output),
    "stats": lambda output, new: statistics(output, sample=10, seed=0),
    "gc": lambda output, new: collect(output),
    "retry": lambda output, new: retry(output),
    "compact": lambda output, new: compact(output),
    "merge": lambda output, new: merge([output, f"{output}-other"], new),
    "filter": lambda output, new: filtered_dataset(FilterConfig(input=output, output=new)),
    "export": lambda output, new: exported(ExportConfig(output=output, dest=new)),
}


def _a_file(dataset: Path) -> None:
    shutil.rmtree(dataset)
    dataset.write_bytes(b"masks")


def _a_copy_of_its_shards(dataset: Path) -> None:
    for folder in ("_commits", "_runs", "_lock"):
        shutil.rmtree(dataset / folder)


def _just_begun(dataset: Path) -> None:
    for folder in ("_commits", "_runs", "data", "manifest"):
        shutil.rmtree(dataset / folder)


def _newer(dataset: Path) -> None:
    (record,) = (dataset / "_runs").glob("*.json")
    fields = json.loads(record.read_text())
    fields["identity"]["schema_version"] = 2
    record.write_text(json.dumps(fields))


def _newer_by_its_description(dataset: Path) -> None:
    about = dataset / "dataset.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "schema_version": 2}))


def _newer_and_unreadable(dataset: Path) -> None:
    _newer_by_its_description(dataset)
    (record,) = (dataset / "_runs").glob("*.json")
    record.write_text(json.dumps({**json.loads(record.read_text()), "a_new_word": 1}))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (shutil.rmtree, "out holds no dataset; sam-label run INPUT OUTPUT makes one"),
        (_a_file, "out is a file, and a dataset is a folder; name a folder"),
        (_a_copy_of_its_shards, r"holds data/ but lacks _runs/ and _commits/, .* copy the whole"),
        (_just_begun, "has no rows yet: a run has just begun there, or was killed as it began; try again"),
        (_newer, "has schema version 2, and this sam-label reads up to 1; install a newer one"),
        (
            _newer_by_its_description,
            "has schema version 2, and this sam-label reads up to 1; install a newer",
        ),
        (_newer_and_unreadable, "has schema version 2, and this sam-label reads up to 1; install a newer"),
    ],
)
def test_it_is_one_sentence_for_all(
    tmp_path: Path, rehearsal: Callable, spoil: Callable[[Path], None], sentence: str
) -> None:
    for name in ("out", "out-other"):
        rehearsal(NAMES).run(Store.at(str(tmp_path / name)))
    spoil(tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    for name, open_ in DATASET_OPENERS.items():
        with pytest.raises(UsageError, match=sentence) as told:
            open_(str(tmp_path / "out"), str(tmp_path / "new"))
        assert "\n" not in str(told.value), name
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("spoil", [_newer, _newer_and_unreadable])
def test_a_run_leaves_a_newer_dataset_alone_unless_it_overwrites_it(
    tmp_path: Path, rehearsal: Callable, spoil: Callable[[Path], None]
) -> None:
    photos = rehearsal(NAMES)
    photos.run(Store.at(str(tmp_path)))
    spoil(tmp_path)
    with pytest.raises(UsageError, match=r"schema version 2, .* install a newer one"):
        photos.run(Store.at(str(tmp_path)))
    photos.run(Store.at(str(tmp_path)), overwrite=True)
    assert validate(str(tmp_path)).problems == []


def test_a_shard_that_is_gone_is_damage_for_all_that_need_it(tmp_path: Path, rehearsal: Callable) -> None:
    photos = rehearsal(NAMES)
    photos.run(Store.at(str(tmp_path)))
    min((tmp_path / "data").iterdir()).unlink()
    for name in ("compact", "export", "stats"):
        with pytest.raises(DamagedFile, match=r"a file that run r00001 counts is gone.* restore it"):
            DATASET_OPENERS[name](str(tmp_path), f"{tmp_path}-new")


@pytest.mark.parametrize("whole_folder", [True, False])
def test_shards_without_their_commits_are_damage_and_no_leftovers(
    tmp_path: Path, rehearsal: Callable, whole_folder: bool
) -> None:
    photos = rehearsal(NAMES)
    for name in ("out", "out-other"):
        photos.run(Store.at(str(tmp_path / name)))
    shards = sorted((tmp_path / "out/data").iterdir())
    commits = tmp_path / "out/_commits"
    shutil.rmtree(commits) if whole_folder else min(commits.iterdir()).unlink()
    assert not validate(str(tmp_path / "out")).is_valid  # it names each row
    for open_ in (one for name, one in DATASET_OPENERS.items() if name != "validate"):
        with pytest.raises(
            DamagedFile, match=r"_commits is damaged \(run r00001 ended with 4 rows, but the com"
        ):
            open_(str(tmp_path / "out"), str(tmp_path / "new"))
    with pytest.raises(DamagedFile):
        photos.run(Store.at(str(tmp_path / "out")))
    assert sorted((tmp_path / "out/data").iterdir()) == shards
    photos.run(Store.at(str(tmp_path / "out")), overwrite=True)
    assert validate(str(tmp_path / "out")).problems == []
