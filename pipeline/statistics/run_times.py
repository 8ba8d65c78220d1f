"""How long the runs took that labelled a dataset, from their records and commits."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipeline.output.commits import Commit, RunRecord, run_records
from pipeline.output.dataset import Dataset

_LABELLING = ("label", "refresh", "overwrite")


@dataclass(frozen=True)
class RunTimes:
    """Seconds of all labelling runs since the dataset was begun.

    A run that was killed or still goes on counts up to its last commit, and not at all without one.
    """

    runs: int
    total_s: float
    first_shard_s: float  # from a run's start to its first shard: Ray, the models, the first images
    further_shards_s: float
    closing_s: float  # after the last shard
    unknown_s: float  # of runs whose shards were compacted or retried since
    stages: dict[str, float] = field(default_factory=dict)  # seconds of workers, by the runs' reports
    reports: int = 0  # how many runs have one: a run that was killed has none


def run_times(dataset: Dataset) -> RunTimes:
    """The times of a dataset's runs. Raises: DamagedFile."""
    records = sorted(run_records(dataset.store), key=lambda record: record.started_at)
    begun = max((place for place, one in enumerate(records) if one.purpose == "overwrite"), default=0)
    runs = [record for record in records[begun:] if record.purpose in _LABELLING and not record.filtered_from]
    parts = [(0.0, 0.0, 0.0, 0.0), *(_parts(record, dataset.commits) for record in runs)]
    first, further, closing, unknown = (round(sum(stage), 3) for stage in zip(*parts, strict=True))
    total = round(first + further + closing + unknown, 3)
    reports = [report for record in runs if (report := (record.ended or {}).get("report"))]
    return RunTimes(
        len(runs), total, first, further, closing, unknown, _seconds_by_stage(reports), len(reports)
    )


def _seconds_by_stage(reports: Iterable[dict[str, Any]]) -> dict[str, float]:
    """The seconds that workers took at each stage, added up."""
    totals: dict[str, float] = {}
    for report in reports:
        for stage, figures in report["stages"].items():
            totals[stage] = round(totals.get(stage, 0.0) + figures["seconds"], 3)
    return totals


def _parts(record: RunRecord, commits: Iterable[Commit]) -> tuple[float, float, float, float]:
    own = [commit for commit in commits if commit.name.startswith(f"{record.run}-")]
    written = [_time(commit.written_at) for commit in own if "kept" not in commit.name]
    start = _time(record.started_at)
    end = _time(record.ended["at"]) if record.ended else max(written, default=start)
    if not written:
        return 0.0, 0.0, 0.0, max(end - start, 0.0)
    first, last = min(written), max(written)
    return max(first - start, 0.0), last - first, max(end - last, 0.0), 0.0


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
