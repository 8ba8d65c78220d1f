"""The rows of a dataset, by uri."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipeline.output.dataset import Dataset


def rows(output: Path) -> list[dict[str, Any]]:
    """The committed ones."""
    found: list[dict[str, Any]] = Dataset.at(str(output)).table().sort_by("uri").to_pylist()
    return found


def globbed(output: Path) -> list[dict[str, Any]]:
    """What a reader gets who knows nothing of commits."""
    tables = [pq.ParquetFile(file).read() for file in output.glob("data/*.parquet")]
    return sorted((row for table in tables for row in table.to_pylist()), key=lambda row: row["uri"])
