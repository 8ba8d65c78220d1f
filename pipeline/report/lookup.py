"""The rows of a dataset by shard and row, and those of some images, wherever they are.

Of a large dataset only a few shards may hold an image: each Parquet footer says from which to which uri its
rows go, so that the others are left unread.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.output.commits import Commit
from pipeline.output.dataset import Dataset
from pipeline.output.format.parquet import text_range
from pipeline.reading.block import Block, ImageSettings
from pipeline.reading.record import Record
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
    """The rows at the places with all that a report shows, a shard after the other."""
    of_shards: defaultdict[str, list[Place]] = defaultdict(list)
    for place in places:
        of_shards[place.commit].append(place)
    commits = {commit.name: commit for commit in dataset.commits}
    settings = ImageSettings(dataset.identity.scale, bool(dataset.record.settings.get("anonymous", False)))
    for name, of_shard in of_shards.items():
        wanted = [place.row for place in of_shard]
        table = dataset.rows_of(commits[name], _COLUMNS).take(pa.array(wanted, pa.int64()))
        block = Block(table, settings)
        yield from ((place, Record(block, row)) for row, place in enumerate(of_shard))


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
