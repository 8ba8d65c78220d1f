"""A run from s3:// to s3:// in which one request in ten fails, then the same run with nothing left to do.

The store is SeaweedFS, behind a proxy that injects faults.
Usage: faulted_s3.py [--images N] [--seed N]. Prints JSON.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import boto3

sys.path.append(str(Path(__file__).parents[1] / "stand_in"))

import stand_in_run
from faulty_proxy import faulty_proxy
from object_stores import login_at, new_bucket, seaweedfs_server
from rows import faults_of
from stand_in_generator import photo

# A stalled request fails after 2 s. With the pipeline's 15 s the test would take long; a busy machine needs
# more than 1 s.
IMPATIENT = json.dumps({"config_kwargs": {"read_timeout": 2}})
WRITES = ("PUT", "POST", "DELETE")


@dataclass
class FaultedRun:
    """The injected faults and the result; the promises held if `faults` is empty."""

    seed: int
    images: int
    requests: int = 0
    spoilt: dict[str, int] = field(default_factory=dict)
    done_again: int = 0  # images labelled more than once
    again_labelled: int = 0  # by the second run, which finds all done
    again_writes: int = 0
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0


def faulted_run(folder: Path, endpoint: str, images: int, seed: int) -> FaultedRun:
    """A run over `images` in a new bucket of the store at the endpoint."""
    os.environ |= login_at(endpoint)
    bucket, outcome, log = new_bucket(), FaultedRun(seed, images), folder / "log"
    store = boto3.client("s3")
    for number in range(images):
        name = f"in/{number:05d}.png"
        store.put_object(Bucket=bucket.removeprefix("s3://"), Key=name, Body=photo(number))
    began = time.monotonic()
    with faulty_proxy(endpoint, seed) as (spoiling, spoilt, requests):
        _run(bucket, log, spoiling)
        outcome.seconds = round(time.monotonic() - began, 1)
        outcome.requests, outcome.spoilt, writes = requests.total(), dict(spoilt), _writes(requests)
        labelled = len(log.read_text().split())
        _run(bucket, log, spoiling)
        outcome.again_writes = _writes(requests) - writes
        outcome.again_labelled = len(log.read_text().split()) - labelled
    outcome.done_again = labelled - images
    outcome.faults = faults_of(f"{bucket}/out", images)
    return outcome


def _writes(requests: "Counter[str]") -> int:
    return sum(requests[method] for method in WRITES)


def _run(bucket: str, log: Path, endpoint: str) -> None:
    environment = {**login_at(endpoint), "FSSPEC_S3": IMPATIENT}
    stand_in_run.finished(f"{bucket}/in", f"{bucket}/out", log, **environment)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--images", type=int, default=2000)
    options.add_argument("--seed", type=int, default=3)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, seaweedfs_server(Path(folder)) as endpoint:
        print(json.dumps(asdict(faulted_run(Path(folder), endpoint, asked.images, asked.seed))))


if __name__ == "__main__":
    main()
