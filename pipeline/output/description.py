"""What a dataset's card and its Croissant file both say: name, summary, date, version, licences."""

import re

from pipeline.output.dataset import Dataset
from pipeline.output.format.names import generation_of
from sam_core.weights.known import known_by_sha256

MARKER = "written by sam-label, anew whenever the dataset changes"  # without it a file is the user's own
CITATION = "Kirillov et al., Segment Anything, ICCV 2023, https://arxiv.org/abs/2304.02643"
LICENCE = "unknown"  # the hubs' word for it; whoever publishes the masks chooses their licence


def name(dataset: Dataset) -> str:
    """The last part of the dataset's URL, with letters, digits, dots, dashes and underscores only."""
    last = dataset.store.location.root.rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip("-.") or "masks"


def summary(dataset: Dataset) -> str:
    """One sentence."""
    return (
        f"{dataset.masks:,} masks of {dataset.labelled:,} images by SAM's automatic mask generation: one "
        "row per image, masks as COCO run lengths"
    )


def changed_on(dataset: Dataset) -> str:
    """The date of the last change, ISO 8601: of the last shard, or of the current run if it wrote none."""
    return max([dataset.record.started_at, *(commit.written_at for commit in dataset.commits)])[:10]


def version(dataset: Dataset) -> str:
    """The schema's version and the number of the last run."""
    return f"{dataset.identity.schema_version}.{generation_of(dataset.record.run)}.0"


def weights_licence(dataset: Dataset) -> str | None:
    """The licence of published weights, None for others."""
    known = known_by_sha256(dataset.identity.model_sha256)
    return known.licence if known else None
