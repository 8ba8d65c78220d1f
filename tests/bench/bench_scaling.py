"""Memory and time of the bookkeeping for ten million images: plan, label, resume, validate, merge.

Each step runs in a separate process. The listing has made-up names, and the rows are of failed images, which
are small; sorting, manifest, shards, commits and the search for pending rows are real. docs/scaling.md
calculates from these figures what a billion images need.
Usage: python tests/bench/bench_scaling.py [--images 10000000] [--left 10000] [--folder DIR]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.config import RunConfig
from pipeline.output.commands.validate import validate
from pipeline.output.commits import RunRecord
from pipeline.output.dataset import Dataset
from pipeline.output.format.identity import Identity
from pipeline.output.format.manifest import (
    ManifestRow,
    manifest_row,
    read_manifest,
    sorted_rows,
    write_manifest,
)
from pipeline.output.format.names import DATASET, labelled, record_name
from pipeline.output.format.schema import file_metadata
from pipeline.output.row_search import rows_left
from pipeline.output.shards import write_shards
from pipeline.output.sink import MAX_ROWS
from pipeline.store.storage import Store

RUN = "r00001"
Figures = dict[str, Any]


def listed(images: int) -> Iterator[ManifestRow]:
    """Rows as a listing of a bucket gives them."""
    for number in range(images):
        uri = f"s3://bucket/photos/2026/{number // 1_000_000:04d}/IMG_{number:010d}.jpg"
        yield manifest_row(uri, 500_000 + number % 7, f"{number:032x}")


def plan(store: Store, images: int, _left: int) -> Figures:
    """Writes the manifest from the listing, and a run record that becomes the current one."""
    parts = write_manifest(store, RUN, sorted_rows(listed(images)))
    identity = Identity("vit_t", "0" * 64, RunConfig(input="in", output="out").mask)
    record = RunRecord(RUN, "label", identity, "s3://bucket/photos", tuple(parts), images, grown_since=RUN)
    store.create(record_name(RUN), record.to_json())
    store.publish(DATASET, json.dumps(identity.described()).encode())
    return {"parts": len(parts), "manifest_mb": _megabytes(store, "manifest")}


def label(store: Store, images: int, left: int) -> Figures:
    """Writes a row for all images but the last `left`, in shards of the real size."""
    dataset = Dataset.in_store(store)
    metadata = file_metadata(dataset.identity.described(), RUN)
    task = 0
    for part in read_manifest(store, dataset.record.manifest):
        rows = part.slice(0, max(0, min(part.num_rows, images - left)))
        left, images = left, images - part.num_rows
        for start in range(0, rows.num_rows, MAX_ROWS):
            write_shards(store, labelled(RUN, task), _failed(rows.slice(start, MAX_ROWS), dataset), metadata)
            task += 1
    return {"shards": task, "data_mb": _megabytes(store, "data"), "commits_mb": _megabytes(store, "_commits")}


def resume(store: Store, images: int, left: int) -> Figures:
    """The steps of a run before it labels: commits, pending rows, and the record that names the commits."""
    seconds: dict[str, float] = {}
    dataset = _timed(seconds, "commits", lambda: Dataset.in_store(store))
    after_commits_mb = _peak_mb()
    parts = _timed(seconds, "pending", dataset.pending_parts)
    found = sum(table.num_rows for part in parts for table in part.tables(store))
    assert found == left, (found, left)
    record = dataset.record.next("r00002", "label", dataset.commit_names)
    text = _timed(seconds, "record", record.to_json)
    _timed(seconds, "record_read", lambda: RunRecord.from_json(text))
    return {
        "pending_parts": len(parts),
        "left": found,
        "commits_peak_mb": after_commits_mb,
        "record_mb": round(len(text) / 1e6, 2),
        **{f"{name}_s": round(value, 1) for name, value in seconds.items()},
    }


def validated(store: Store, _images: int, left: int) -> Figures:
    """Checks every row; the pending rows are problems."""
    problems = validate(store.url).problem_count
    assert problems == left, (problems, left)
    return {"problems": problems}


def merged_rows(store: Store, images: int, left: int) -> Figures:
    """The rows that `merge` and `filter` would copy into an empty output."""
    dataset = Dataset.in_store(store)
    found = sum(table.num_rows for _, table in rows_left(replace(dataset, commits=()), [dataset]))
    assert found == images - left, (found, images - left)
    return {"rows": found}


def _failed(rows: pa.Table, dataset: Dataset) -> pa.Table:
    """Rows of failed images in the dataset's schema, for these rows of the manifest."""
    size = rows.num_rows
    given = {name: rows[name] for name in ("image_id", "uri", "etag")}
    given |= {
        "status": pa.array(["failed"] * size),
        "error": pa.array(["EMPTY"] * size),
    }
    return pa.table(
        [
            given[field.name].cast(field.type) if field.name in given else pa.nulls(size, field.type)
            for field in dataset.identity.schema
        ],
        schema=dataset.identity.schema,
    )


def _timed(seconds: dict[str, float], name: str, work: Callable[[], Any]) -> Any:
    begun = time.monotonic()
    result = work()
    seconds[name] = time.monotonic() - begun
    return result


def _megabytes(store: Store, folder: str) -> float:
    return round(sum(entry.size for page in store.list(folder) for entry in page) / 1e6, 1)


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


STEPS = {"plan": plan, "label": label, "resume": resume, "validate": validated, "merge": merged_rows}


def _step(name: str, folder: str, images: int, left: int) -> None:
    before_mb, begun = _peak_mb(), time.monotonic()
    figures = STEPS[name](Store.at(folder), images, left)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                **figures,
                "seconds": round(time.monotonic() - begun, 1),
                "cpu_s": round(used.ru_utime + used.ru_stime, 1),
                "imports_mb": before_mb,
                "peak_mb": _peak_mb(),
            }
        )
    )


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--images", type=int, default=10_000_000)
    options.add_argument("--left", type=int, default=10_000)
    options.add_argument("--folder", help="keeps the dataset there")
    options.add_argument("--step", choices=STEPS)
    asked = options.parse_args()
    if asked.step:
        _step(asked.step, asked.folder, asked.images, asked.left)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder, figures = asked.folder or temporary, {}
        Path(folder).mkdir(exist_ok=True)
        for name in STEPS:
            size = ["--images", str(asked.images), "--left", str(asked.left)]
            command = [sys.executable, __file__, "--step", name, "--folder", folder, *size]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(done.stderr)
            figures[name] = json.loads(done.stdout)
            print(f"{name:<9}{json.dumps(figures[name])}", flush=True)
    print(json.dumps({"images": asked.images, **figures}))


if __name__ == "__main__":
    main()
