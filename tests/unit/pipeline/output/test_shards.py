"""However often a write task is tried, each row ends in one committed shard."""

from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.output import shards
from pipeline.output.format.manifest import manifest_row
from pipeline.output.format.names import commit_name, shard_name
from pipeline.output.format.schema import table_of
from pipeline.output.shards import read_shard, shard_group_rows, write_shards
from pipeline.store.objects import Got
from pipeline.store.storage import Store

TASK = "r00001-000007"


@pytest.fixture
def rows(rehearsal) -> pa.Table:
    return table_of([rehearsal([]).row(manifest_row(f"file:///{n}", 1, "1")) for n in range(9)])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at(str(tmp_path))


def ids(store: Store, commits) -> list[str]:
    return [
        one for commit in commits for one in read_shard(store, commit, ["image_id"])["image_id"].to_pylist()
    ]


def test_a_second_attempt_changes_nothing(store: Store, rows: pa.Table) -> None:
    first = write_shards(store, TASK, rows, {})
    before = store.get(shard_name(TASK))
    second = write_shards(store, TASK, rows, {})
    assert [commit.name for commit in second] == [commit.name for commit in first] == [TASK]
    assert store.get(shard_name(TASK)) == before
    assert read_shard(store, first[0]).equals(rows)


def test_an_attempt_that_died_before_its_commit_is_completed(store: Store, rows: pa.Table) -> None:
    write_shards(store, TASK, rows, {})
    store.delete(commit_name(TASK))
    (commit,) = write_shards(store, TASK, rows, {})
    assert store.info(commit_name(TASK)) is not None
    assert commit.rows == rows.num_rows


def test_rows_that_an_earlier_attempt_cut_otherwise_are_each_written_once(
    store: Store, rows: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shards(store, TASK, rows.slice(0, 4), {})  # how far the first attempt got
    monkeypatch.setattr(shards, "SHARD_BYTES", rows.nbytes // 4)
    commits = write_shards(store, TASK, rows, {})
    assert len(commits) > 2
    assert sorted(ids(store, commits)) == sorted(rows["image_id"].to_pylist())


def test_the_first_attempt_s_rows_stand_where_the_second_differs(
    store: Store, rows: pa.Table, rehearsal
) -> None:
    write_shards(store, TASK, rows, {})
    failed_once = rows.set_column(rows.schema.get_field_index("etag"), "etag", pa.array(["other"] * 9))
    (commit,) = write_shards(store, TASK, failed_once, {})
    assert read_shard(store, commit).equals(rows)


def test_a_shard_is_bounded_in_bytes_and_holds_at_least_one_row(
    store: Store, rows: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", 1)
    commits = write_shards(store, TASK, rows, {})
    assert [commit.rows for commit in commits] == [1] * 9
    assert sorted(ids(store, commits)) == sorted(rows["image_id"].to_pylist())


def test_a_shard_is_read_by_small_row_groups(
    store: Store, rows: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "ROW_GROUP_BYTES", rows.nbytes // 4)
    (commit,) = write_shards(store, TASK, rows, {})
    assert shard_group_rows(store, commit) == [2, 2, 2, 2, 1]
    assert read_shard(store, commit, groups=[1]).equals(rows.slice(2, 2))


def test_no_rows_no_shard(store: Store, rows: pa.Table) -> None:
    assert write_shards(store, TASK, rows.slice(0, 0), {}) == []
    assert list(store.list()) == []


def test_only_the_columns_asked_for_are_fetched(
    store: Store, rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = table_of([rehearsal([]).row(manifest_row(f"file:///{n}", 1, "1")) for n in range(5000)])
    (commit,) = write_shards(store, TASK, many, {})
    fetched: list[int] = []
    get_range = Store.get_range

    def counted(self: Store, name: str, start: int, end: int) -> Got:
        fetched.append(end - start)
        return get_range(self, name, start, end)

    monkeypatch.setattr(Store, "get_range", counted)
    assert read_shard(store, commit, ["status"])["status"].equals(many["status"])
    assert 0 < sum(fetched) < commit.bytes / 3
