"""What statistics of a large dataset cost: seconds and peak memory of `sam-label stats`.

The real writer makes the dataset (bench_export.py). Usage: bench_statistics.py [--images N] [--masks N]
[--sample N] [--folder DIR]. Prints a line and JSON.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from bench_export import dataset_in, measured


@dataclass(frozen=True)
class Cost:
    """The cost of the command, which runs in a separate process."""

    images: int
    masks: int
    sampled: int
    dataset_mb: int
    seconds: float
    peak_mb: int


def bench_statistics(folder: Path, images: int, masks: int, sample: int) -> Cost:
    """The cost for a dataset."""
    figures, seconds, peak_mb = measured("stats", dataset_in(folder, images, masks), "--sample", str(sample))
    assert figures["masks"] == images * masks
    sampled, size_mb = figures["pixels"]["sampled"], figures["bytes"] >> 20
    return Cost(images, figures["masks"], sampled, size_mb, seconds, peak_mb)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--images", type=int, default=100_000)
    options.add_argument("--masks", type=int, default=100)
    options.add_argument("--sample", type=int, default=1000)
    options.add_argument("--folder", type=Path)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        cost = bench_statistics(folder, asked.images, asked.masks, asked.sample)
    print(
        f"{cost.images:,} images, {cost.masks:,} masks, {cost.dataset_mb} MB; pixels of "
        f"{cost.sampled:,} images: {cost.seconds} s, {cost.peak_mb} MB at its peak"
    )
    print(json.dumps(asdict(cost)))


if __name__ == "__main__":
    main()
