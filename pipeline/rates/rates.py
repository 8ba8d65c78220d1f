"""Measures what a labeler takes for a few images, stage after stage, in this process and without Ray."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from pipeline.cluster.labeler_pool import LabelerPool
from pipeline.config import RunConfig
from pipeline.errors import ImageError
from pipeline.images.decode import DecodedImage, decoded_image
from pipeline.images.fetch import FetchSettings, fetched
from pipeline.images.frame import frame_of
from pipeline.inputs.source import Source
from pipeline.labelling.labeler import LabelerSettings
from pipeline.labelling.sam_generator import sam_generator
from pipeline.metrics.work import Stage
from pipeline.output.format.manifest import ManifestRow
from pipeline.output.format.schema import ok_row, schema_of, table_of
from pipeline.output.shards import write_shards
from pipeline.store.storage import Store
from pipeline.weights.models import weights_of

Rows = list[dict[str, Any]]


@dataclass
class Rates:
    """The sums over the images that were labelled."""

    images: int = 0
    failed: int = 0
    masks: int = 0
    output_bytes: int = 0
    load_s: float = 0.0  # to load the model, once
    first_s: float = 0.0  # on a GPU: the first image, for which it compiles its kernels
    seconds: dict[Stage, float] = field(default_factory=lambda: dict.fromkeys(Stage, 0.0))

    @contextmanager
    def timed(self, stage: Stage) -> Iterator[None]:
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - begun

    def an_image(self, total: float) -> float:
        """The mean over the labelled images; 0 if there are none."""
        return total / self.images if self.images else 0.0


def measured(config: RunConfig, source: Source, rows: Sequence[ManifestRow], pool: LabelerPool) -> Rates:
    """Measures one of the pool's labelers on the rows. An image that fails is counted, and left out.

    Raises: UsageError for the weights, SamLabelError.
    """
    rates, settings = Rates(), LabelerSettings.of(config, weights_of(config), pool)
    begun = time.perf_counter()
    generator = sam_generator(settings)
    rates.load_s = time.perf_counter() - begun
    decoded = list(_decoded(rates, config, source, rows))
    images = [image.image_HW3 for _, image in decoded]
    if pool.gpus and images:
        begun = time.perf_counter()
        list(generator.generate_many(images[:1]))
        rates.first_s = time.perf_counter() - begun
    with rates.timed(Stage.LABEL):
        found = list(generator.generate_many(images))
    labelled = [ok_row(row, image, masks) for (row, image), masks in zip(decoded, found, strict=True)]
    rates.masks = sum(map(len, found))
    rates.images = len(labelled)
    with rates.timed(Stage.WRITE):
        rates.output_bytes = _written_bytes(table_of(labelled, schema_of(config.mask)))
    return rates


def _decoded(
    rates: Rates, config: RunConfig, source: Source, rows: Sequence[ManifestRow]
) -> Iterator[tuple[dict[str, Any], DecodedImage]]:
    settings = FetchSettings(source.root, config.access, config.max_image_pixels)
    for row in rows:
        try:
            with rates.timed(Stage.FETCH):
                data = fetched(row._asdict(), settings).data
            with rates.timed(Stage.DECODE):
                image = decoded_image(data, config.max_image_pixels, config.reading, frame_of(row.uri))
        except ImageError:
            rates.failed += 1
        else:
            yield row._asdict(), image


def _written_bytes(rows: pa.Table) -> int:
    """The size of the rows as shards."""
    with TemporaryDirectory() as folder:
        commits = write_shards(Store.at(folder), "r00001-000000", rows, {})
    return sum(commit.bytes for commit in commits)
