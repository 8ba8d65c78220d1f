"""Publishes a run's metrics on Ray's endpoints, one a node, which Prometheus scrapes.

The driver publishes what the run's ledger has counted, so a worker that dies takes no counts with it. Each
labeler publishes the memory of its own GPU; that series ends with the labeler. Ray exports the values every
ten seconds. Without `ray[default]` Ray has no endpoint, and drops them.
"""

import logging
import time
from collections.abc import Mapping

from ray.util.metrics import Counter, Gauge

from pipeline.metrics import declared
from pipeline.metrics.declared import Metric
from pipeline.metrics.report import RunReport
from pipeline.metrics.work import Stage

SHOW_S = 1.0  # between two updates; less than Ray's own interval

_log = logging.getLogger("sam_label.metrics")


class Published:
    """Hands metric values to Ray, under the labels of one run. An error in here never ends the run."""

    def __init__(self, output: str, run: str) -> None:
        self._labels = {"output": output, "run": run}
        self._rays: dict[str, Counter | Gauge] = {}
        self._counted: dict[tuple[str, ...], float] = {}
        self._is_broken = False

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        """Publishes the value. If a counter's value has fallen, it was restarted, and all of it is added."""
        if self._is_broken:
            return
        try:
            self._set(metric, value, {**self._labels, **labels})
        except Exception as fault:  # noqa: BLE001  # metrics must not end a run
            self._is_broken = True
            _log.debug("metrics are not published: %s", fault)

    def _set(self, metric: Metric, value: float, labels: Mapping[str, str]) -> None:
        made = self._rays.get(metric.name)
        if made is None:
            kind = Counter if metric.kind == "counter" else Gauge
            made = self._rays[metric.name] = kind(metric.name, metric.help, metric.all_labels)
        if isinstance(made, Gauge):
            made.set(value, dict(labels))
            return
        series = (metric.name, *labels.values())
        before = self._counted.get(series, 0.0)
        grown = value - before if value >= before else value
        if grown:
            made.inc(grown, dict(labels))
        self._counted[series] = value


class RunMetrics:
    """Publishes the figures of a run while it goes on."""

    def __init__(self, report: RunReport) -> None:
        self._report = report
        self._published = Published(report.output, report.run)
        self._shown_s = 0.0

    def show(self, is_last: bool = False) -> None:
        """Publishes the current figures if SHOW_S have passed since the last time, or if `is_last`."""
        if not is_last and time.monotonic() - self._shown_s < SHOW_S:
            return
        self._shown_s = time.monotonic()
        report, show = self._report, self._published.set
        show(declared.LEFT, report.left)
        show(declared.LABELERS, report.labelers)
        show(declared.IMAGES, report.labelled, status="ok")
        show(declared.IMAGES, sum(report.failed.values()), status="failed")
        show(declared.MASKS, report.masks)
        for reason, count in report.failed.items():
            show(declared.FAILURES, count, reason=reason)
        work = report.work
        for stage, images in work.images.items():
            show(declared.STAGE_IMAGES, images, stage=stage)
            show(declared.STAGE_SECONDS, work.seconds[stage], stage=stage)
        show(declared.QUEUED, max(work.images.get(Stage.FETCH, 0) - report.done, 0))
        show(declared.LABELER_SECONDS, work.busy_s, state="busy")
        show(declared.LABELER_SECONDS, work.waiting_s, state="waiting")


def show_gpu(published: Published, gpu: str, used_bytes: int, total_bytes: int) -> None:
    """Publishes the memory of a labeler's GPU."""
    published.set(declared.GPU_USED, used_bytes, gpu=gpu)
    published.set(declared.GPU_TOTAL, total_bytes, gpu=gpu)
