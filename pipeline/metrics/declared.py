"""The metrics of a run: names, units and labels, stated once. A test compares docs/monitoring.md with them.

Ray puts `ray_` before each name, and Prometheus' format adds `_total` to a counter's name. Labels that Ray
adds are not listed here.
"""

from dataclasses import dataclass
from typing import Literal

RUN_LABELS = ("output", "run")  # the output's URL, and the run's name in `_runs/`


@dataclass(frozen=True)
class Metric:
    """One metric; `labels` are the labels that it has besides RUN_LABELS."""

    name: str
    kind: Literal["counter", "gauge"]
    unit: str
    help: str
    labels: tuple[str, ...] = ()

    @property
    def exposed(self) -> str:
        """The name under which Prometheus scrapes it."""
        return f"ray_{self.name}" + ("_total" if self.kind == "counter" else "")

    @property
    def all_labels(self) -> tuple[str, ...]:
        return (*RUN_LABELS, *self.labels)


IMAGES = Metric("sam_label_images", "counter", "images", "Images whose row the run has written.", ("status",))
MASKS = Metric("sam_label_masks", "counter", "masks", "Masks of these images.")
FAILURES = Metric("sam_label_failures", "counter", "images", "Failed images by reason.", ("reason",))
LEFT = Metric("sam_label_images_left", "gauge", "images", "Images that the run still has to label.")
QUEUED = Metric("sam_label_images_queued", "gauge", "images", "Images fetched but not labelled yet.")
STAGE_SECONDS = Metric(
    "sam_label_stage_seconds", "counter", "s", "Time at each stage, added up over workers.", ("stage",)
)
STAGE_IMAGES = Metric(
    "sam_label_stage_images", "counter", "images", "Images that passed each stage.", ("stage",)
)
LABELER_SECONDS = Metric(
    "sam_label_labeler_seconds", "counter", "s", "Time of labelers: busy, or waiting for images.", ("state",)
)
LABELERS = Metric("sam_label_labelers", "gauge", "labelers", "Labelers that the run requested.")
GPU_USED = Metric("sam_label_gpu_memory_used_bytes", "gauge", "bytes", "Used memory of its GPU.", ("gpu",))
GPU_TOTAL = Metric("sam_label_gpu_memory_total_bytes", "gauge", "bytes", "All memory of its GPU.", ("gpu",))

METRICS = (
    IMAGES,
    MASKS,
    FAILURES,
    LEFT,
    QUEUED,
    STAGE_SECONDS,
    STAGE_IMAGES,
    LABELER_SECONDS,
    LABELERS,
    GPU_USED,
    GPU_TOTAL,
)
