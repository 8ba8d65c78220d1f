"""Under which heading each option stands, in `--help` and in docs/options.md."""

from pydantic import BaseModel

from jobs.options.fields import ConfigField
from pipeline.config import RunConfig

TOPICS = {
    "Input and output": ("input", "output"),
    "Model": ("model", "checkpoint", "device"),
    "Which images": (
        *("follow_links", "anonymous", "frames", "input_format", "uri_column", "id_column", "keep_columns"),
        *("image_column", "include", "exclude", "sample", "seed", "shard", "deduplicate"),
    ),
    "This run": ("limit", "refresh", "allow_empty", "overwrite", "max_failures", "webhook"),
    "Machines": (
        *("workers", "images_per_block", "address", "cluster_wait_s", "allow_unauthenticated_cluster"),
    ),
    "Pixels": ("max_image_pixels", "scale", "bands", "nodata", "decode_timeout_s"),
}
NESTED = {"mask": "Masks", "storage": "Storage"}  # the names of nested models
_TOPIC_OF = {name: topic for topic, names in TOPICS.items() for name in names}


def topic_of(field: ConfigField, model: type[BaseModel]) -> str | None:
    """The heading of a model's option; None for those that are few enough to need none."""
    if len(field.path) > 1:
        return NESTED.get(field.path[0])
    return _TOPIC_OF[field.name] if model is RunConfig else None
