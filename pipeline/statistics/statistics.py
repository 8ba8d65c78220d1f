"""All figures of a dataset: what `sam-label stats` prints."""

from dataclasses import asdict, dataclass
from typing import Any

from pipeline.errors import UsageError
from pipeline.output.dataset import Dataset
from pipeline.progress import Progress, silent
from pipeline.reading.ahead import ahead
from pipeline.statistics.columns import COLUMNS, ColumnFigures
from pipeline.statistics.neighbours import NearDuplicates, near_duplicates
from pipeline.statistics.pixels import PixelFigures, add_pixels
from pipeline.statistics.repeats import Repeats
from pipeline.statistics.run_times import RunTimes, run_times
from pipeline.statistics.sample import sample_of
from sam_core.masks.overlap import NESTED


@dataclass(frozen=True)
class Statistics:
    """The figures of a dataset at one moment."""

    output: str
    run: str
    images: int  # that the manifest names
    bytes: int  # of the shards
    shards: int
    columns: ColumnFigures  # of all images that have a row
    pixels: PixelFigures  # of a sample
    sampled: int  # rows of that sample, failed ones included
    seed: int
    near: NearDuplicates | None  # None if there are no vectors of images
    time: RunTimes

    @property
    def labelled(self) -> int:
        return self.columns.rows - self.columns.failed.total()

    @property
    def left(self) -> int:
        """Images without a row yet."""
        return self.images - self.columns.rows

    @property
    def masks(self) -> int:
        return self.columns.area_share.number

    @property
    def bytes_a_mask(self) -> float:
        """Bytes of all Parquet files for each mask, rows without masks included; 0 if there are no masks."""
        return self.bytes / self.masks if self.masks else 0.0

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        columns, pixels = self.columns, self.pixels
        return {
            "output": self.output,
            "run": self.run,
            "images": self.images,
            "labelled": self.labelled,
            "failed": dict(columns.failed.most_common()),
            "left": self.left,
            "zero_masks": columns.zero_masks,
            "masks": self.masks,
            "bytes": self.bytes,
            "shards": self.shards,
            "bytes_a_mask": self.bytes_a_mask,
            "masks_an_image": columns.masks_an_image.as_json(),
            "area_share": columns.area_share.as_json(),
            "predicted_iou": columns.predicted_iou.as_json(),
            "stability_score": columns.stability_score.as_json(),
            "duplicates": {"etag": _as_json(columns.same_etag), "masks": _as_json(columns.same_masks)},
            "near_duplicates": asdict(self.near) if self.near else None,
            "pixels": {
                "images": pixels.images,
                "sampled": self.sampled,
                "seed": self.seed,
                "masks": pixels.masks,
                "nested": pixels.nested,
                "nested_from": NESTED,
                "coverage": pixels.coverage.as_json(),
                "overlap": pixels.overlap.as_json(),
            },
            "time": asdict(self.time),
        }


def statistics(output: str, sample: int, seed: int, progress: Progress = silent) -> Statistics:
    """The figures of the dataset at a path or a URL; those of pixels come from at most `sample` images.

    Raises: UsageError if there is no dataset, or `sample` or `seed` is negative; DamagedFile.
    """
    if sample < 0 or seed < 0:
        raise UsageError(f"--sample is {sample} and --seed is {seed}; both must be 0 or more")
    dataset = Dataset.at(output)
    drawn = sample_of(dataset, sample, seed)
    columns, pixels = ColumnFigures(), PixelFigures()
    tables = ahead(lambda commit: dataset.rows_of(commit, COLUMNS), dataset.commits, 1)
    for commit, table in zip(dataset.commits, tables, strict=True):
        columns.add(table)
        if commit.name in drawn.places:
            add_pixels(pixels, dataset, commit, drawn.places[commit.name])
        progress(columns.rows, dataset.rows)
    return Statistics(
        output=dataset.store.url,
        run=dataset.record.run,
        images=dataset.images,
        bytes=dataset.bytes,
        shards=len(dataset.commits),
        columns=columns,
        pixels=pixels,
        sampled=drawn.rows,
        seed=seed,
        near=near_duplicates(dataset, seed),
        time=run_times(dataset),
    )


def _as_json(repeats: Repeats) -> dict[str, int]:
    return {"images": repeats.number, "of": repeats.things, "counted_one_in": repeats.one_in}
