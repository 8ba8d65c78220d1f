"""A run over hostile files: each is labelled or fails for one reason; no decoder dies or hangs.

Generated mutants, and the test images in Pillow's source distribution, which pip fetches and whose sha256 is
checked. Usage: hostile.py [--mutants N] [--no-pillow]. Prints JSON.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "stand_in"))

import stand_in_run
from hostile_files import hostile_files

from pipeline.output.commands.validate import validate
from pipeline.output.dataset import Dataset

PILLOW = "pillow==13.0.0"
PILLOW_SHA256 = "cdcd1ba258178f7356d74170c9a81ba4eab6a5d55748bc402a5a2a6fe6be3510"
DECODE_TIMEOUT_S = 10


@dataclass
class HostileRun:
    """The result of the run; the promises held if `faults` is empty."""

    files: int
    from_pillow: int
    labelled: int
    failed: dict[str, int]
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0


def hostile_run(folder: Path, mutants: int, has_pillow: bool) -> HostileRun:
    """A run over the files, written below the folder."""
    (folder / "in").mkdir()
    for name, data in hostile_files(mutants):
        (folder / "in" / f"{name}.png").write_bytes(data)
    from_pillow = 0
    for name, data in pillow_images(folder) if has_pillow else ():
        from_pillow += 1
        # With this name every file is listed; its content decides the rest.
        (folder / "in" / f"pillow {from_pillow:04d} {name.replace('/', '_')}.png").write_bytes(data)
    options = {"decode_timeout_s": DECODE_TIMEOUT_S, "images_per_block": 32}
    summary = stand_in_run.finished(folder / "in", folder / "out", folder / "log", options)
    reasons = Counter(row["error"] for row in Dataset.at(str(folder / "out")).table(["error"]).to_pylist())
    labelled = reasons.pop(None, 0)
    found = HostileRun(mutants + from_pillow, from_pillow, labelled, dict(reasons))
    found.faults = validate(str(folder / "out")).problems
    found.faults += [
        f"{reasons[name]} images are {name}"
        for name in ("UNKNOWN", "WORKER_CRASH", "DECODE_TIMEOUT", "LABELER_ERROR")
        if reasons[name]
    ]
    if labelled + reasons.total() != found.files:
        found.faults.append(f"{labelled + reasons.total()} rows of {found.files} files")
    found.seconds = round(summary["elapsed_s"], 1)
    return found


def pillow_images(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The test images of Pillow's source distribution. Raises: CalledProcessError if pip has none."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "pillow"]
    subprocess.run([*pip, "--dest", folder, PILLOW], check=True, capture_output=True)
    (archive,) = folder.glob("*.tar.gz")
    if hashlib.sha256(archive.read_bytes()).hexdigest() != PILLOW_SHA256:
        raise ValueError(f"{archive.name} is not the file that was expected")
    with tarfile.open(archive) as files:
        for member in files:
            body = files.extractfile(member) if "/Tests/images/" in member.name else None
            if body is not None:  # None for a folder
                yield member.name.partition("/Tests/images/")[2], body.read()


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--mutants", type=int, default=500)
    options.add_argument("--no-pillow", action="store_true")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(asdict(hostile_run(Path(folder), asked.mutants, not asked.no_pillow))))


if __name__ == "__main__":
    main()
