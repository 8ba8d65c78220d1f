"""Changes rows of a dataset behind the writer's back, as a stranger may."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.output.commits import Commit, counts_of
from pipeline.output.dataset import Dataset
from pipeline.output.format.names import commit_name
from pipeline.output.format.schema import table_of

Row = dict[str, Any]


def rewrite(output: Path, change: Callable[[list[Row]], list[Row]]) -> str:
    """Changes the rows of the first shard, and its commit to match; returns the shard's name."""
    commit = Dataset.at(str(output)).commits[0]
    old = pq.ParquetFile(output / commit.shard).read()
    table = table_of(change(old.to_pylist()), old.schema)
    return _written(output, table, replace(commit, **counts_of(table)))


def rewrite_columns(output: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Changes the table of each shard; the commits keep their counts."""
    for commit in Dataset.at(str(output)).commits:
        _written(output, change(pq.ParquetFile(output / commit.shard).read()), commit)


def _written(output: Path, table: pa.Table, told: Commit) -> str:
    pq.write_table(table, output / told.shard)
    told = replace(told, bytes=(output / told.shard).stat().st_size)
    (output / commit_name(told.name)).write_text(json.dumps(asdict(told)))
    return told.shard
