"""A dataset as a sequence of records, at one moment and during a run; and the errors of a broken one."""

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline.errors import DamagedFile, SamLabelError, UsageError
from pipeline.output.commands.retry import retry
from pipeline.output.dataset import Dataset as Snapshot
from pipeline.output.format.parquet import parquet_bytes
from pipeline.output.writer import Listing, open_output
from pipeline.reading.dataset import Dataset
from pipeline.store.objects import Got
from pipeline.store.storage import Store

NAMES = [f"{number:02d} é%.jpg" for number in range(40)]


def rows_of(dataset: Dataset) -> list[dict[str, Any]]:
    return [{name: record[name] for name in dataset.columns} for record in dataset]


def test_records_are_the_rows_of_what_is_committed_in_a_fixed_order(small: Dataset) -> None:
    rows = Snapshot.at(small.url).table().to_pylist()
    assert rows_of(small) == rows
    assert len(small) == len(rows) == 40
    assert [small[position].uri for position in range(40)] == [row["uri"] for row in rows]
    assert small[-1].uri == rows[-1]["uri"]
    assert pa.concat_tables(small.tables()).to_pylist() == rows
    assert rows_of(Dataset.open(Path(small.url.removeprefix("file://")))) == rows


def test_an_image_is_had_by_its_id(small: Dataset) -> None:
    for record in small:
        assert small[record.image_id].uri == record.uri
        assert record.image_id in small
    assert record.image_id.upper() in small
    for other in (5, None, record, [record.image_id]):
        assert other not in small
    spaced = " ".join(re.findall("..", record.image_id))
    for unknown in ("ab" * 16, "no id", "é", "", record.image_id * 2, spaced, record.image_id[:-2]):
        assert unknown not in small
        with pytest.raises(UsageError, match=r"has no image .*; an id is the image_id of a row"):
            small[unknown]
    with pytest.raises(
        TypeError, match=r"by its position or image id, not by slice\(0, 2, None\); use `select`"
    ):
        small[0:2]  # type: ignore[index]
    with pytest.raises(IndexError, match=r"there is no mask 99 in .*/.*, which has \d+"):
        next(record for record in small if record.is_ok).mask(99)
    with pytest.raises(IndexError, match=r"there is no image 40 in .*, which has 40"):
        small[40]


@pytest.mark.parametrize("where", [[("status", "=", "ok")], pc.field("status") == "ok"])
def test_a_condition_leaves_rows_out_wherever_they_are_asked_for(small: Dataset, where: object) -> None:
    kept = [row for row in rows_of(small) if row["status"] == "ok"]
    assert 0 < len(kept) < 40
    labelled = Dataset.open(small.url, where=where)
    assert len(labelled) == len(kept)
    assert rows_of(labelled) == kept
    assert [labelled[position].uri for position in range(len(kept))] == [row["uri"] for row in kept]
    failed = next(record for record in small if not record.is_ok)
    assert failed.image_id not in labelled
    many = labelled.select(where=pc.field("num_masks") >= 2)
    assert rows_of(many) == [row for row in kept if row["num_masks"] >= 2]
    assert len(labelled.select(where=[("num_masks", ">", 9)])) == 0
    assert list(labelled.select(where=[("num_masks", ">", 9)])) == []


def test_only_the_columns_that_are_asked_for_are_read_and_shards_without_a_row_are_left(
    small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[tuple[str, ...]] = []
    rows_of = Snapshot.rows_of

    def seen(self: Snapshot, commit: object, columns: Any = None, groups: object = None) -> pa.Table:
        reads.append(tuple(columns))
        return rows_of(self, commit, columns, groups)

    monkeypatch.setattr(Snapshot, "rows_of", seen)
    narrow = Dataset.open(small.url, columns=["mask_area"], where=[("uri", "=", "file:///photos/07 é%.jpg")])
    (record,) = narrow
    assert record.uri == "file:///photos/07 é%.jpg"
    assert reads.count(("uri",)) == 14
    assert [columns for columns in reads if columns != ("uri",)] == [narrow.columns]
    assert {"mask_counts", "mask_bbox"}.isdisjoint(narrow.columns)
    with pytest.raises(
        UsageError, match=r"the column mask_counts was not read, only image_id, .*name it among"
    ):
        next(iter(Dataset.open(small.url, columns=["mask_area"], where=[("num_masks", ">", 0)]))).mask(0)


def test_random_access_reads_the_row_group_that_holds_the_row(
    tmp_path: Path, rehearsal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, store = rehearsal(NAMES), Store.at(str(tmp_path))
    photos.shard_rows = 40
    photos.run(store)
    (commit,) = Snapshot.in_store(store).commits
    table = pq.read_table(tmp_path / commit.shard)
    pq.write_table(table, tmp_path / commit.shard, row_group_size=7)
    about = tmp_path / "_commits" / f"{commit.name}.json"
    size = (tmp_path / commit.shard).stat().st_size
    about.write_text(json.dumps({**json.loads(about.read_text()), "bytes": size}))
    dataset = Dataset.open(str(tmp_path))
    groups: list[Any] = []
    read = Snapshot.rows_of
    monkeypatch.setattr(
        Snapshot,
        "rows_of",
        lambda self, commit, columns=None, wanted=None: (
            groups.append(wanted),
            read(self, commit, columns, wanted),
        )[1],
    )
    assert [dataset[at]["uri"] for at in (0, 6, 7, 39, 8)] == [
        table["uri"][at].as_py() for at in (0, 6, 7, 39, 8)
    ]
    assert groups == [[0], [1], [5]]
    assert dataset[12].image_masks.counts == [
        text.encode() for text in table["mask_counts"][12].as_py() or []
    ]


def test_a_dataset_holds_still_and_again_gives_what_was_added(tmp_path: Path, rehearsal: Any) -> None:
    photos, store = rehearsal(NAMES), Store.at(str(tmp_path))
    photos.run(store, shards=2)
    before = Dataset.open(str(tmp_path))
    pin = json.loads(json.dumps(before.pin()))
    photos.run(store)
    assert (len(before), len(before.again()), before.again().is_complete) == (6, 40, True)
    assert len(list(before)) == 6
    assert rows_of(Dataset.open(str(tmp_path), pinned=pin)) == rows_of(before)
    retry(str(tmp_path))
    with pytest.raises(UsageError, match="was rewritten after it was pinned at run r00001"):
        Dataset.open(str(tmp_path), pinned=pin)
    with pytest.raises(SamLabelError, match="open the dataset again"):
        list(before.select(where=[("num_masks", ">=", 0)]))


def test_a_run_is_followed_to_its_end(tmp_path: Path, rehearsal: Any) -> None:
    photos, store = rehearsal(NAMES[:12]), Store.at(str(tmp_path))
    with open_output(store, photos.identity, Listing("file:///photos", photos.listing)) as output:
        photos.label(output, shards=1)
        followed = Dataset.open(str(tmp_path)).follow(poll_s=0.01)
        first = [next(followed).uri for _ in range(3)]
        photos.label(output)  # the first shard is there already, and stays
        rest = [record.uri for record in followed]
    assert sorted(first + rest) == sorted(photos.etags)
    assert sorted(record.uri for record in Dataset.open(str(tmp_path)).follow()) == sorted(photos.etags)


def test_what_was_followed_and_then_written_anew_is_told(tmp_path: Path, rehearsal: Any) -> None:
    photos, store = rehearsal(NAMES[:20]), Store.at(str(tmp_path))
    with open_output(store, photos.identity, Listing("file:///photos", photos.listing)) as output:
        photos.label(output, shards=3)
        followed = Dataset.open(str(tmp_path)).follow(poll_s=0.01)
        for _ in range(9):
            next(followed)
    retry(str(tmp_path))
    with pytest.raises(
        SamLabelError, match="was rewritten by run r00002 while it was followed; open it again"
    ):
        list(followed)


def _commit_gone(dataset: Path) -> None:
    first, *_ = sorted((dataset / "_commits").iterdir())
    first.write_text("{")


def _shard_cut_off(dataset: Path) -> None:
    first, *_ = sorted((dataset / "data").iterdir())
    first.write_bytes(first.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_commit_gone, "_commits/r00001-000000.json is damaged .*; restore it from a copy"),
        (_shard_cut_off, "data/r00001-000000.parquet is damaged"),
    ],
)
def test_what_is_damaged_is_told_in_one_sentence(
    small: Dataset, spoil: Callable[[Path], None], sentence: str
) -> None:
    spoil(Path(small.url.removeprefix("file://")))
    with pytest.raises(DamagedFile, match=sentence) as told:
        list(Dataset.open(small.url))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"columns": ["mask_are"]}, "has no column 'mask_are'; did you mean mask_area?"),
        ({"columns": ["zzz"]}, "has no column 'zzz'; there are image_id, uri, "),
        *(
            ({"columns": wrong}, "columns is .*; give a list of names")
            for wrong in (5, [5], [None], 0, b"uri")
        ),
        ({"columns": "uri"}, "columns is the text 'uri'; give a list of names"),
        ({"where": [("zzz", "=", 1)]}, "the condition .*zzz.* cannot be applied to the columns image_id, "),
        ({"where": [("num_masks", "=~", 1)]}, "the condition .* cannot be applied"),
        ({"where": [("status", "<", 1)]}, "the condition .* cannot be applied"),
        ({"where": pc.field("zzz") > 1}, "the condition .*zzz.* cannot be applied"),
        ({"pinned": {}}, "the pin is not valid; give what Dataset.pin returned"),
        ({"pinned": {"x": 1}}, "the pin is not valid; give what Dataset.pin returned"),
        *(
            (
                {"pinned": {"run": "r00001", "commits": commits}},
                "the pin is not valid; give what Dataset.pin returned",
            )
            for commits in (["r00001-000000"] * 2, [1], [["r00001-000000"]], [None], "r00001-000000", 5)
        ),
    ],
)
def test_what_is_asked_wrongly_is_told_before_anything_is_read(
    small: Dataset, asked: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        Dataset.open(small.url, **asked)


def test_columns_may_come_from_a_generator(small: Dataset) -> None:
    named = (name for name in ["mask_area", "mask_bbox"])
    assert {"mask_area", "mask_bbox"} <= set(Dataset.open(small.url, columns=named).columns)
    with pytest.raises(UsageError, match="columns is 0; give a list of names"):
        small.select(0)  # type: ignore[arg-type]


@pytest.mark.parametrize("poll_s", [-1, "a", "1", math.nan, math.inf, None])
def test_a_time_that_is_none_is_told_before_anything_is_followed(small: Dataset, poll_s: Any) -> None:
    with pytest.raises(UsageError, match=r"poll_s is .*; give "):
        small.follow(poll_s)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        *(({"done_rows": wrong}, "done_rows is .*; give a whole number") for wrong in (-1, 1.5, "a", None)),
        *(({"epoch": wrong}, "epoch is .*; give a whole number, 0") for wrong in (-1, 1.5, "a", None)),
        ({"epochs": 1}, r"to_ray has no option epochs; did you mean epoch\?"),
        ({"batch_size": 1}, "to_ray has no option batch_size; give it to its iter_batches"),
    ],
)
def test_what_ray_is_asked_wrongly_is_told(small: Dataset, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        small.to_ray(**options)


def test_another_row_count_than_the_commit_says_is_damage(small: Dataset) -> None:
    shard = min(Path(small.url.removeprefix("file://"), "data").iterdir())
    shard.write_bytes(parquet_bytes(pq.read_table(shard).slice(1), ()))
    with pytest.raises(DamagedFile, match="is damaged"):
        list(Dataset.open(small.url))


def test_reading_needs_neither_ray_nor_torch_and_leaves_no_thread_behind(small: Dataset) -> None:
    code = (
        "import os, sys, time\nimport pyarrow.parquet\nfrom pipeline.reading.dataset import Dataset\n"
        "def threads(): return len(os.listdir('/proc/self/task'))\n"
        "before, deadline = threads(), time.monotonic() + 10\n"
        "records = [record for record in Dataset.open(sys.argv[1]) if len(record)]\n"
        "assert records[0].masks().any() and records[0].label_map().any()\n"
        "while threads() > before and time.monotonic() < deadline: pass\n"  # ours are about to end
        "print({'ray', 'torch'} & set(sys.modules), threads() - before)"
    )
    command = [sys.executable, "-c", code, small.url]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "set() 0"


def test_a_column_of_a_small_shard_costs_one_request(small: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    ranges: list[str] = []
    get_range = Store.get_range

    def seen(self: Store, name: str, start: int, end: int) -> Got:
        ranges.append(name)
        return get_range(self, name, start, end)

    monkeypatch.setattr(Store, "get_range", seen)
    assert len(list(Dataset.open(small.url, columns=["mask_area"]))) == 40
    assert len(ranges) == len(set(ranges)) == 14
