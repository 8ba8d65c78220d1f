"""A run from s3:// to s3:// where one request in ten is spoilt: the same rows, none wrongly failed."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import boto3
from faulty_proxy import faulty_proxy
from stand_in_generator import photo, stand_in

from pipeline.dataset import Dataset
from pipeline.decode import decoded_image
from pipeline.validate import validate

STAND_IN_RUN = Path(__file__).parents[1] / "stand_in" / "stand_in_run.py"
IMAGES = 120


def test_spoilt_requests_change_nothing(
    seaweedfs: str,
    use_store: Callable[[str], str],
) -> None:
    bucket = use_store(seaweedfs)
    files = {f"in/{number:03d}.png": photo(number) for number in range(IMAGES)}
    for name, data in files.items():
        boto3.client("s3").put_object(Bucket=bucket.removeprefix("s3://"), Key=name, Body=data)

    with faulty_proxy(seaweedfs) as (endpoint, faults, requests):
        environment = {**os.environ, "AWS_ENDPOINT_URL": endpoint}
        command = [sys.executable, STAND_IN_RUN, f"{bucket}/in", f"{bucket}/out", "0"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    assert faults.total() >= 15, "else nothing was tried"
    assert validate(f"{bucket}/out").problems == []
    rows = Dataset.at(f"{bucket}/out").table().to_pylist()
    assert {row["error"] for row in rows} == {None}
    generator = stand_in()(None)  # type: ignore[arg-type]
    for row in rows:
        masks = generator.generate_masks(
            decoded_image(files[row["uri"].removeprefix(f"{bucket}/")], 1 << 20).image_HW3
        )
        assert row["mask_counts"] == [counts.decode() for counts in masks.counts]
    assert len(rows) == IMAGES
    print(f"{IMAGES} images, {requests.total()} requests, faults {dict(faults)}")
