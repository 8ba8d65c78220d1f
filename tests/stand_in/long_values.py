"""A small Parquet file that fills the memory of whoever reads it as it stands."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def write_one_long_value(path: Path, column: str, value: str | bytes, rows: int) -> None:
    """Writes a dictionary that names the value in each row; the footer states its size once."""
    values = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([value]))
    pq.write_table(
        pa.table({column: values}),
        path,
        compression="zstd",
        dictionary_pagesize_limit=1 << 30,
        store_schema=False,  # else it would be read as a dictionary, as small as it is
    )
    assert path.stat().st_size < 1 << 20
