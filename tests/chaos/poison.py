"""A run in which two neighbours in a hundred are poison: for their decoders or for their labelers.

Each poison becomes a failed row after at most three attempts, and its neighbours are labelled.
Usage: poison.py [--images N] [--every N]. Prints JSON.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "stand_in"))

import stand_in_run
from stand_in_generator import log_line, photo

from pipeline.images.decode import decoded_image
from pipeline.output.commands.validate import validate
from pipeline.output.dataset import Dataset

DECODE_TIMEOUT_S = 10
# What each poison does to the decoder or to the labeler, and the reason of its failed row.
BECOMES = {
    "labeler kill": "WORKER_CRASH",
    "decoder segfault": "WORKER_CRASH",
    "decoder memory": "TOO_LARGE",  # asks for 8 GB
    "decoder abort": "WORKER_CRASH",
    "labeler segfault": "WORKER_CRASH",
    "labeler abort": "WORKER_CRASH",  # the two are neighbours
    "decoder loop": "DECODE_TIMEOUT",
}


@dataclass
class PoisonedRun:
    """The result of the run; the promises held if `faults` is empty."""

    images: int
    poisons: int
    most_attempts: int = 0  # of any image that kills its labeler
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0


def poisoned_run(folder: Path, images: int, every: int) -> PoisonedRun:
    """A run over `images`, written below the folder; two of `every` so many are poison."""
    (folder / "in").mkdir()
    expected, deadly = dict[str, str](), []
    for number in range(images):
        name, data = f"{number:05d}.png", photo(number)
        if number % every in (every // 2, every // 2 + 1):  # of one block
            kind = list(BECOMES)[len(expected) % len(BECOMES)]
            whose, poison = kind.split()
            if whose == "decoder":
                data = f"poison:{poison}:".encode()
            else:
                data = photo(number, poison=poison)
                deadly.append(log_line(decoded_image(data, 1 << 20).image_HW3))
            expected[name] = BECOMES[kind]
        (folder / "in" / name).write_bytes(data)
    options, log = {"decode_timeout_s": DECODE_TIMEOUT_S}, folder / "log"
    summary = stand_in_run.finished(folder / "in", folder / "out", log, options, POISONABLE_DECODER="yes")
    rows = Dataset.at(str(folder / "out")).table().to_pylist()
    found = PoisonedRun(images, len(expected), seconds=round(summary["elapsed_s"], 1))
    begun = Counter(log.read_text().split())
    found.most_attempts = max(begun[image] for image in deadly)
    found.faults = validate(str(folder / "out")).problems
    for row in rows:
        name = row["uri"].rpartition("/")[2]
        if row["error"] != expected.get(name):
            found.faults.append(f"{name}: {row['error']}, and not {expected.get(name)}")
    if len(rows) != images:
        found.faults.append(f"{len(rows)} rows of {images} images")
    return found


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--images", type=int, default=1400)
    options.add_argument("--every", type=int, default=100)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(asdict(poisoned_run(Path(folder), asked.images, asked.every))))


if __name__ == "__main__":
    main()
