"""What a run would do, without doing it: nothing is written, no Ray is started."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pipeline.config import RunConfig
from pipeline.images.source import Source
from pipeline.output.format.identity import Identity
from pipeline.output.format.manifest import ManifestRow, rows_of, sorted_rows
from pipeline.output.refresh import Refreshed
from pipeline.output.writer import dataset_to_resume
from pipeline.store.storage import Store
from pipeline.store.uri import refuse_overlap
from pipeline.weights.models import weights_of


@dataclass(frozen=True)
class RunPlan:
    """The images of the whole dataset, those that a run would label, and their bytes."""

    images: int
    pending: int
    size_bytes: int
    skipped_files: int  # of the input, that are no images; 0 where the manifest was frozen before


def plan(config: RunConfig) -> RunPlan:
    """The plan of a run. Raises: whatever `run` would raise before its first image."""
    weights = weights_of(config)
    source, store = Source.at(config.input), Store.at(config.output)
    refuse_overlap(source.location, store.location)
    identity = Identity(weights.model_type, weights.sha256, config.mask, scale=config.scale)
    found = dataset_to_resume(store, identity, str(source.location), config.overwrite)
    if found is None:
        return _planned(source.rows(), None, config.limit, source)
    if config.refresh:
        refreshed = Refreshed(rows_of(found.manifest()), sorted_rows(source.rows()))
        planned = _planned(refreshed.pending(found.done_ids()), None, config.limit, source)
        return replace(planned, images=refreshed.images)
    return _planned(rows_of(found.pending()), found.images, config.limit, source)


def _planned(rows: Iterable[ManifestRow], images: int | None, limit: int | None, source: Source) -> RunPlan:
    listed = pending = size_bytes = 0
    for row in rows:
        listed += 1
        if limit is None or pending < limit:
            pending += 1
            size_bytes += row.size
    return RunPlan(listed if images is None else images, pending, size_bytes, source.skipped)
