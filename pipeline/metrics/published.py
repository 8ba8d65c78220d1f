"""The metrics of a run on Ray's endpoint, one a node, which Prometheus scrapes.

The driver shows what the run's ledger has counted: a worker that dies takes no count along. A labeler shows
its GPU's memory itself, which ends with it. Ray hands values on every ten seconds; without `ray[default]` it
has no endpoint, and drops them.
"""

import logging
import time
from collections.abc import Mapping

from ray.util.metrics import Counter, Gauge

from pipeline.metrics import declared
from pipeline.metrics.declared import Metric
from pipeline.metrics.report import RunReport
from pipeline.metrics.work import Stage

SHOW_S = 1.0  # between two looks at the figures, less than Ray's own interval

_log = logging.getLogger("sam_label.metrics")


class Published:
    """Takes values of metrics to Ray, under the labels of one run. No fault of it ends the run."""

    def __init__(self, output: str, run: str) -> None:
        self._labels = {"output": output, "run": run}
        self._rays: dict[str, Counter | Gauge] = {}
        self._counted: dict[tuple[str, ...], float] = {}
        self._is_broken = False

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        """Shows the value. A counter whose value has fallen was started anew, and counts on from there."""
        if self._is_broken:
            return
        try:
            self._set(metric, value, {**self._labels, **labels})
        except Exception as fault:  # noqa: BLE001  # a run is not worth its metrics
            self._is_broken = True
            _log.debug("metrics are not shown: %s", fault)

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
    """Shows the figures of a run while it goes on."""

    def __init__(self, report: RunReport) -> None:
        self._report = report
        self._published = Published(report.output, report.run)
        self._shown_s = 0.0

    def show(self, is_last: bool = False) -> None:
        """Shows the figures as they are now, if it is time or there will be no later ones."""
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
    """Shows a labeler's memory of its GPU."""
    published.set(declared.GPU_USED, used_bytes, gpu=gpu)
    published.set(declared.GPU_TOTAL, total_bytes, gpu=gpu)
