"""A dataset of the sample photos with their recorded masks, written by the real output protocol."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.inputs.source import Source
from pipeline.output.format.identity import Identity
from pipeline.output.format.manifest import rows_of
from pipeline.output.format.schema import ok_row, table_of
from pipeline.output.shards import write_shards
from pipeline.output.writer import Listing, open_output
from pipeline.store.storage import Store
from sam_core.masks.image_masks import ImageMasks
from sam_core.options import MaskOptions

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "jobs" / "demo" / "photos"
GOLDEN = ROOT / "tests" / "parity" / "golden"


class Upright:
    """What a row stores of a decoded image; the photos are not rotated."""

    exif_orientation = 1
    frames = 1
    pixel_scale = None
    pixel_range = None
    bands = None
    geo_transform = None
    crs = None


def write_demo(
    output: str,
    photos: Path | str = PHOTOS,
    shard_rows: int = 2,
    scale: str = "full",
    options: MaskOptions | None = None,
) -> None:
    """Writes the dataset of a run over the photos to a folder or a URL, as if made with `options`."""
    source, store = Source.at(str(photos)), Store.at(output)
    identity = Identity("vit_t", "0" * 64, options or MaskOptions(), scale=scale)
    with open_output(store, identity, Listing(str(source.location), source.rows)) as run:
        rows = [
            ok_row(row._asdict(), Upright(), recorded_masks(Path(row.uri).stem))
            for row in rows_of(run.dataset.pending())
        ]
        for task, start in enumerate(range(0, len(rows), shard_rows)):
            table = table_of(rows[start : start + shard_rows])
            write_shards(run.store, f"{run.run}-{task:06d}", table, run.sink().metadata)


def recorded_masks(name: str) -> ImageMasks:
    """The masks that the original package gives for a sample photo."""
    with gzip.open(GOLDEN / f"{name}.default.json.gz") as file:
        recorded: dict[str, Any] = json.load(file)
    records: Sequence[dict[str, Any]] = recorded["masks"]
    return ImageMasks(
        height=recorded["height"],
        width=recorded["width"],
        counts=[record["segmentation"]["counts"].encode() for record in records],
        area=np.array([record["area"] for record in records], np.int64),
        bbox_xywh=np.array([record["bbox"] for record in records], np.float32),
        predicted_iou=np.array([record["predicted_iou"] for record in records], np.float32),
        stability_score=np.array([record["stability_score"] for record in records], np.float32),
        point_coords=np.array([record["point_coords"][0] for record in records], np.float32),
        crop_box_xywh=np.array([record["crop_box"] for record in records], np.float32),
    )
