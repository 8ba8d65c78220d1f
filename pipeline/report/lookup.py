"""Finds rows of a dataset by shard and row number, or by the uris of images.

Only a few shards of a large dataset may hold an image: each Parquet footer has the smallest and the largest
uri of its shard, so the other shards are not read.
"""

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.output.commits import Commit
from pipeline.output.dataset import Dataset
from pipeline.output.format.parquet import text_range
from pipeline.reading.block import Block
from pipeline.reading.record import Record
from pipeline.reading.rows import Rows
from pipeline.report.sample import Place
from pipeline.store.range_file import RangeFile
from pipeline.store.storage import side_by_side

_COLUMNS = (
    "image_id",
    "uri",
    "etag",
    "width",
    "height",
    "status",
    "error",
    "error_message",
    "num_masks",
    "mask_counts",
    "mask_area",
    "mask_bbox",
    "mask_predicted_iou",
    "mask_stability_score",
)


def records_at(dataset: Dataset, places: Iterable[Place]) -> Iterator[tuple[Place, Record]]:
    """The rows at the places with all that a report shows, in the dataset's order."""
    rows = Rows(dataset, _COLUMNS)
    first = dict(zip(dataset.commit_names, rows.starts.tolist(), strict=False))
    for place in sorted(places, key=lambda place: first[place.commit] + place.row):
        record = rows.record(first[place.commit] + place.row)
        # a copy of this row, so that its row group can be freed
        yield place, Record(Block(record.block.table.take([record.row]), record.block.images), 0)


def places_of(dataset: Dataset, uris: Sequence[str]) -> dict[str, Place]:
    """Where the rows of images are, by uri; images without a row are left out. Raises: DamagedFile."""
    found: dict[str, Place] = {}
    for part in side_by_side(lambda commit: _places_in(dataset, commit, uris), dataset.commits):
        found |= part
    return found


def _places_in(dataset: Dataset, commit: Commit, uris: Sequence[str]) -> dict[str, Place]:
    footer = RangeFile(dataset.store, commit.shard, commit.bytes)
    limits = text_range(footer, dataset.store.uri(commit.shard), "uri")
    wanted = [uri for uri in uris if limits is None or limits[0] <= uri <= limits[1]]
    if not wanted:
        return {}
    table = dataset.rows_of(commit, ["uri"])
    numbered = table.append_column("row", pa.array(range(table.num_rows), pa.int64()))
    rows = numbered.filter(pc.is_in(table["uri"], value_set=pa.array(wanted, pa.string()))).to_pylist()
    return {row["uri"]: Place(commit.name, row["row"]) for row in rows}
