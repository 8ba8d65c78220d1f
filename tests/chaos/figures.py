"""The figures of reliability, measured, a line each. Real Ray, real processes, a stand-in for the model.

Usage: figures.py [KILLS]; 200 kills take most of an hour on two cores. Pillow's test images come as its
source distribution through pip, and checked by sha256; where that cannot be had the line says so.
"""

import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "stand_in"))

from hostile_files import hostile_files

from pipeline.decode_pool import DecodeLimits, DecodePool
from pipeline.errors import ImageError

PILLOW = "pillow==13.0.0"
PILLOW_SHA256 = "cdcd1ba258178f7356d74170c9a81ba4eab6a5d55748bc402a5a2a6fe6be3510"
LIMITS = DecodeLimits(max_pixels=178_956_970, timeout_s=10)


def outcomes(files: Iterable[tuple[str, bytes]], pool: DecodePool) -> tuple[Counter[str], float]:
    """How often each outcome came, and the longest time of one file in seconds."""
    found: Counter[str] = Counter()
    longest_s = 0.0
    for _, data in files:
        started = time.monotonic()
        try:
            pool.decode(data)
            found["ok"] += 1
        except ImageError as fault:
            found[fault.reason.value] += 1
        longest_s = max(longest_s, time.monotonic() - started)
    return found, longest_s


def pillow_images() -> Iterator[tuple[str, bytes]]:
    """The test images in Pillow's source distribution. Raises: CalledProcessError where pip has none."""
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "pillow"]
        subprocess.run([*pip, "--dest", folder, PILLOW], check=True, capture_output=True)
        (archive,) = Path(folder).iterdir()
        if hashlib.sha256(archive.read_bytes()).hexdigest() != PILLOW_SHA256:
            raise ValueError(f"{archive.name} is not the file that was expected")
        with tarfile.open(archive) as files:
            for member in files:
                if (
                    member.isfile()
                    and "/Tests/images/" in member.name
                    and (body := files.extractfile(member))
                ):
                    yield member.name, body.read()


def poisons() -> Iterator[tuple[str, bytes]]:
    """A hundred files, four of them deadly."""
    deadly = {10: b"segfault", 35: b"abort", 60: b"loop", 85: b"memory"}
    for number, (name, data) in enumerate(hostile_files(100)):
        yield name, b"poison:" + deadly[number] + b":" if number in deadly else data


def tell(what: str, figure: object) -> None:
    print(f"{what:<34} {figure}", flush=True)


def main() -> None:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    pool = DecodePool(1, LIMITS)
    tell("500 generated hostile files", outcomes(hostile_files(500), pool))
    try:
        tell("Pillow's test images", outcomes(pillow_images(), pool))
    except subprocess.CalledProcessError as fault:
        tell("Pillow's test images", f"not had: {fault.stderr.decode().strip().splitlines()[-1]}")
    pool.close()
    poisoned = DecodePool(1, LIMITS, "poisoned_decode_child")
    tell("4 poisons among 100 files", outcomes(poisons(), poisoned))
    poisoned.close()
    tests = Path(__file__).parents[1]
    spoilt = [sys.executable, "-m", "pytest", "-q", "-s", str(tests / "integration" / "test_faulty_s3.py")]
    said = subprocess.run(spoilt, capture_output=True, text=True, check=False)
    tell(
        "one S3 request in ten spoilt",
        next((line for line in said.stdout.splitlines() if "faults" in line), said.stdout),
    )
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            str(Path(__file__).with_name("kills.py")),
            str(kills),
            str(20 * kills),
            folder + "/k",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        tell(
            f"{kills} random SIGKILLs",
            json.loads(done.stdout) if done.returncode == 0 else done.stderr[-2000:],
        )


if __name__ == "__main__":
    main()
