"""Checks what a run over photos must have shown and stored, while its Ray still runs."""

import json
import os
import socket
from pathlib import Path

from scraped_metrics import check_queries, scraped, total

from pipeline.metrics.declared import METRICS
from pipeline.metrics.published import Published, show_gpu
from pipeline.metrics.work import Stage
from pipeline.output.commands.gc import collect
from pipeline.output.dataset import Dataset
from pipeline.summary import RunSummary


def the_metrics_are_those_of(summary: RunSummary) -> None:
    """Scrapes Ray's endpoint and checks that its metrics answer each query of infra/monitoring."""
    samples = scraped(summary.output, summary.total)
    assert {one.labels["run"] for one in samples} == {summary.run_id}
    assert total(samples, "ray_sam_label_images_total", status="ok") == summary.labelled
    assert total(samples, "ray_sam_label_masks_total") == summary.masks
    assert total(samples, "ray_sam_label_images_left") == 0
    for reason, count in summary.failed_by_reason.items():
        assert total(samples, "ray_sam_label_failures_total", reason=reason) == count
    for stage in Stage:
        assert 0 < total(samples, "ray_sam_label_stage_images_total", stage=stage) <= summary.total
        assert 0 < total(samples, "ray_sam_label_stage_seconds_total", stage=stage) < summary.elapsed_s * 8
    show_gpu(Published(summary.output, "of a GPU"), "0", 1 << 30, 8 << 30)  # which this machine lacks
    show_gpu(Published(summary.output, "of a GPU"), "1", 1 << 30, 8 << 30)
    while not total(samples, "ray_sam_label_gpu_memory_used_bytes", gpu="1"):
        samples = scraped(summary.output, summary.total)
    check_queries(samples)
    exposed = {one.exposed: set(one.all_labels) for one in METRICS}
    assert exposed.keys() == {one.name for one in samples}
    assert all(exposed[one.name] <= one.labels.keys() for one in samples)


def the_record_has_the_report_of(summary: RunSummary) -> None:
    ended = Dataset.at(summary.output).record.ended or {}
    assert (ended["outcome"], ended["exit_code"], ended["sentence"]) == ("finished", 0, None)
    report = ended["report"]
    assert (report["images"], report["masks"], report["left"]) == (summary.total, summary.masks, 0)
    assert (report["failed"], report["labelled"]) == (summary.failed_by_reason, summary.labelled)
    assert (report["device"], report["labelers"]) == ("cpu", summary.workers)
    assert report["stages"].keys() == {"fetch", "decode", "label", "write"}
    assert report["stages"]["write"]["images"] == summary.total
    assert 0 < report["feed_idle"] < 1


def the_log_of_workers_reached_the_user(stderr: str) -> None:
    lines = stderr.splitlines()
    assert "sam-label: info: a labeler has loaded" in lines
    assert lines.count("sam-label: warning: a labeler warns") == 1, "the same text once"


def the_output_keeps_the_log(output: Path, run: str, warned_of: set[str]) -> None:
    """Checks that the log has a line for each image with a warning, and that gc does not collect the file."""
    kept = (output / "_runs" / f"{run}.log.jsonl").read_text().splitlines()
    warned = [line for line in map(json.loads, kept) if line["message"] == "a labeler warns"]
    ids = {row["uri"]: row["image_id"] for row in Dataset.at(str(output)).table().to_pylist()}
    assert {line["uri"]: line["image_id"] for line in warned} == {uri: ids[uri] for uri in warned_of}
    assert {(line["level"], line["run"], line["node"]) for line in warned} == {
        ("warning", run, socket.gethostname())
    }
    assert all(line["worker"] not in (None, os.getpid()) for line in warned)
    assert collect(str(output)).files == 0
