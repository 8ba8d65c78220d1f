"""What Ray costs beside the labelling: labelers that only sleep, on several nodes in one machine.

Feed-idle is the share of a labeler's time, from its first image to its last, in which it waits for a block
or for an image of it to be decoded. Overhead is all of that time that is not sleep, for an image. CPU seconds
are those of the driver and of all of the cluster; sleep costs none.

Usage: bench_feeding.py [--labelers N ...] [--nodes N] [--images N] [--sleep-ms MS] [--cpus]. Prints one line
of JSON for each number of labelers. A process of its own: Ray reads its environment when it is imported.
"""

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

os.environ |= {"RAY_AUTH_TOKEN": secrets.token_hex(32)} | os.environ | {"RAY_AUTH_MODE": "token"}
sys.path.append(str(Path(__file__).parents[1] / "stand_in"))

import numpy as np
import pyarrow as pa
from processes import descendants
from several_nodes import SeveralNodes
from stand_in_generator import StandInGenerator, photo

import pipeline.run
from jobs import cli
from pipeline.labelling.labeler import Labeler, LabelerSettings, Row
from pipeline.output.commands.validate import validate
from sam_core.masks.image_masks import ImageMasks

IDLE_CPU = 0.3  # of a CPU, that all processes of an idle cluster take together


@dataclass(frozen=True)
class Block:
    """Images that a labeler was given together, all in seconds."""

    labeler: int
    began: float
    ended: float
    asleep: float
    decoding: float  # waited for
    images: int


@dataclass(frozen=True)
class Feeding:
    """What was measured with one number of labelers."""

    labelers: int
    images: int
    images_a_second: float
    of_linear: float  # 1 is what sleep alone allows
    feed_idle: float
    overhead_ms: float  # an image
    cpu_ms: float  # an image
    first_masks_s: float  # from the command
    faults: list[str]


class SleepingGenerator:
    """Sleeps for each image, and has the same masks for all of one size."""

    def __init__(self, sleep_s: float) -> None:
        self._sleep_s = sleep_s
        self._by_size: dict[tuple[int, ...], ImageMasks] = {}
        self.asleep = 0.0

    def generate_many(self, images: Iterable[np.ndarray]) -> Iterator[ImageMasks]:
        for image in images:
            began = time.monotonic()
            time.sleep(self._sleep_s)
            self.asleep += time.monotonic() - began
            yield self._masks(image)

    def _masks(self, image: np.ndarray) -> ImageMasks:
        if image.shape not in self._by_size:
            self._by_size[image.shape] = StandInGenerator(0, None).generate_masks(image)
        return self._by_size[image.shape]


class TimedLabeler(Labeler):
    """Appends a line to the file `log` for each block."""

    log: Path

    def __call__(self, images: pa.Table) -> pa.Table:
        began, self._stream.generator.asleep, self._waited = time.monotonic(), 0.0, list[_Waited]()
        rows = super().__call__(images)
        decoding = sum(each.waited_s for each in self._waited)
        line = Block(os.getpid(), began, time.monotonic(), self._stream.generator.asleep, decoding, len(rows))
        with self.log.open("a") as log:
            log.write(json.dumps(asdict(line)) + "\n")
        return rows

    def _decoded_ahead(self, images: list[Row]) -> Iterator[Any]:
        for image, decoding in super()._decoded_ahead(images):
            self._waited.append(_Waited(decoding))
            yield image, self._waited[-1]


class _Waited:
    def __init__(self, decoding: Future[Any]) -> None:
        self._decoding, self.waited_s = decoding, 0.0

    def result(self) -> Any:
        began = time.monotonic()
        try:
            return self._decoding.result()
        finally:
            self.waited_s += time.monotonic() - began


def load(settings: LabelerSettings, sleep_s: float) -> SleepingGenerator:
    return SleepingGenerator(sleep_s)


def drive(source: str, output: str, log: str, sleep_ms: str, *flags: str) -> None:
    """The command, in a process of its own."""
    TimedLabeler.log = Path(log)
    pipeline.run.Labeler = TimedLabeler  # type: ignore[misc]
    pipeline.run.run = partial(pipeline.run.run, load=partial(load, sleep_s=float(sleep_ms) / 1000))
    cli.main(["run", source, output, "--json", *flags])


def measured(folder: Path, asked: argparse.Namespace, labelers: int) -> Feeding:
    """A run with so many labelers on a new cluster."""
    each = labelers // asked.nodes
    kind = {"num_cpus": 2 * each} if asked.cpus else {"num_cpus": each, "num_gpus": each}
    feeding = {"num_cpus": 2}  # a node without GPUs
    output, log = folder / f"out-{labelers}", folder / f"log-{labelers}"
    nodes = SeveralNodes([*[kind] * asked.nodes, feeding])
    try:
        flags = ["--address", nodes.address, "--workers", str(labelers), *asked.flags]
        command = [
            sys.executable,
            __file__,
            "drive",
            folder / "in",
            output,
            log,
            str(asked.sleep_ms),
            *flags,
        ]
        _wait_until_idle()
        began, cpu_before = time.monotonic(), _cpu_s()
        driver = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        watch = _Watch(driver)
        assert watch.code == 0
        cpu_s = max(watch.cpu_s, _cpu_s()) - cpu_before
    finally:
        nodes.close()
    found = validate(str(output))
    faults = [*found.problems, *["images are missing"] * (found.labelled != asked.images)]
    by_labeler = defaultdict(list)
    for line in log.read_text().splitlines():
        block = Block(**json.loads(line))
        by_labeler[block.labeler].append(block)
    return _figures(list(by_labeler.values()), began, cpu_s, asked, faults)


def _wait_until_idle() -> None:
    """Returns when the cluster is up: its processes have done their own imports."""
    used = 1.0
    while used > IDLE_CPU:
        before = _cpu_s()
        time.sleep(1)
        used = _cpu_s() - before


class _Watch:
    """Waits for the driver; what it and its children took of the CPUs is read until they end."""

    def __init__(self, driver: "subprocess.Popen[bytes]") -> None:
        self.cpu_s = 0.0
        while driver.poll() is None:
            self.cpu_s = max(self.cpu_s, _cpu_s())
            time.sleep(0.2)
        self.code = driver.returncode


def _cpu_s() -> float:
    """CPU seconds of all below this process, those that have ended and were waited for included."""
    total = 0
    for pid in descendants([os.getpid()]):
        try:
            total += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
        except OSError:  # it ended meanwhile
            continue
    return total / os.sysconf("SC_CLK_TCK")


def _figures(
    labelers: list[list[Block]], began: float, cpu_s: float, asked: argparse.Namespace, faults: list[str]
) -> Feeding:
    blocks = [block for each in labelers for block in each]
    windows = [(min(g.began for g in each), max(g.ended for g in each)) for each in labelers]
    there = sum(end - start for start, end in windows)
    at_work = sum(block.ended - block.began - block.decoding for block in blocks)
    images = sum(block.images for block in blocks)
    rate = images / (max(end for _, end in windows) - min(start for start, _ in windows))
    return Feeding(
        labelers=len(labelers),
        images=images,
        images_a_second=round(rate, 1),
        of_linear=round(rate * asked.sleep_ms / 1000 / len(labelers), 3),
        feed_idle=round(1 - at_work / there, 4),
        overhead_ms=round((there - sum(block.asleep for block in blocks)) / images * 1000, 2),
        cpu_ms=round(cpu_s / images * 1000, 1),
        first_masks_s=round(min(block.ended for block in blocks) - began, 1),
        faults=faults,
    )


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--labelers", type=int, nargs="+", default=[2, 4, 8])
    options.add_argument("--nodes", type=int, default=2, help="that labelers run on")
    options.add_argument("--images", type=int, default=4000)
    options.add_argument("--sleep-ms", type=float, default=20)
    options.add_argument("--cpus", action="store_true", help="labelers on CPUs, not on GPUs")
    options.add_argument("flags", nargs="*", help="of `sam-label run`, after --")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "in"
        photos.mkdir()
        for number in range(asked.images):
            (photos / f"{number:06d}.png").write_bytes(photo(number))
        for labelers in asked.labelers:
            print(json.dumps(asdict(measured(Path(folder), asked, labelers))), flush=True)


if __name__ == "__main__":
    drive(*sys.argv[2:]) if sys.argv[1:2] == ["drive"] else main()
