"""What Ray costs besides the labelling: labelers whose devices only sleep, on several nodes in one machine.

Between its first and its last image, a device is idle whenever its queue is empty: because a block or a
decoded image is missing, or because its labeler is busy. The run's record has the share of time in which
labelers waited for images. That is more, because a device may work meanwhile. CPU seconds are those of the
driver and the whole cluster; sleep costs none.

Usage: bench_feeding.py [--labelers N ...] [--nodes N] [--images N] [--sleep-ms MS] [--ahead N] [--size W H]
[--s3] [--cpus]. Prints one line of JSON for each number of labelers. It needs its own process, because Ray
reads its environment when it is imported.
"""

import argparse
import json
import math
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

os.environ |= {"RAY_AUTH_TOKEN": secrets.token_hex(32)} | os.environ | {"RAY_AUTH_MODE": "token"}
sys.path.append(str(Path(__file__).parents[1] / "stand_in"))

import numpy as np
from bench_photos import source_of, write_photos
from processes import descendants
from several_nodes import SeveralNodes
from stand_in_generator import StandInGenerator

import pipeline.run
from jobs import cli
from pipeline.labelling.labeler import LabelerSettings
from pipeline.output.commands.validate import validate
from pipeline.output.dataset import Dataset
from sam_core.masks.image_masks import ImageMasks

OBJECT_STORE_BYTES = 1 << 30  # of a node, as in a run on one machine
IDLE_CPU = 0.3  # CPUs that all processes of an idle cluster use together


@dataclass(frozen=True)
class Worked:
    """An image on its labeler's device; in seconds."""

    labeler: int
    began: float
    ended: float


@dataclass(frozen=True)
class Feeding:
    """What was measured with one number of labelers."""

    labelers: int
    images: int
    images_a_second: float
    of_linear: float  # share of the rate that sleep alone allows
    idle: float  # share of the devices' time
    idle_ms: float  # per image
    feed_idle: float  # from the run's record
    cpu_ms: float  # per image
    first_masks_s: float  # after the start of the command
    faults: list[str]


class SleepingDevice:
    """Works for a while on each image, in parallel to the host; images of one size get the same masks.

    As on a GPU, `ahead` images are queued before the device waits for the masks of the first one.
    """

    def __init__(self, sleep_s: float, ahead: int, log: Path) -> None:
        self._sleep_s, self._ahead, self._log = sleep_s, ahead, log
        self._by_size: dict[tuple[int, ...], ImageMasks] = {}
        self._free_from = 0.0

    @property
    def idle_since(self) -> float:
        return self._free_from if time.perf_counter() > self._free_from else math.inf

    def generate_many(self, images: Iterable[np.ndarray]) -> Iterator[ImageMasks]:
        under_way: deque[tuple[float, np.ndarray]] = deque()
        for image in images:
            began = max(time.perf_counter(), self._free_from)
            self._free_from = began + self._sleep_s
            under_way.append((began, image))
            if len(under_way) > self._ahead:
                yield self._ended(*under_way.popleft())
        while under_way:
            yield self._ended(*under_way.popleft())

    def _ended(self, began: float, image: np.ndarray) -> ImageMasks:
        time.sleep(max(0.0, began + self._sleep_s - time.perf_counter()))
        with self._log.open("a") as log:
            log.write(json.dumps(asdict(Worked(os.getpid(), began, began + self._sleep_s))) + "\n")
        if image.shape not in self._by_size:
            self._by_size[image.shape] = StandInGenerator(0, None).generate_masks(image)
        return self._by_size[image.shape]


def load(settings: LabelerSettings, sleep_s: float, ahead: int, log: Path) -> SleepingDevice:
    return SleepingDevice(sleep_s, ahead, log)


def drive(source: str, output: str, log: str, sleep_ms: str, ahead: str, *flags: str) -> None:
    """Runs the command; called in a separate process."""
    loads = partial(load, sleep_s=float(sleep_ms) / 1000, ahead=int(ahead), log=Path(log))
    pipeline.run.run = partial(pipeline.run.run, load=loads)
    cli.main(["run", source, output, "--json", *flags])


def measured(folder: Path, source: str, asked: argparse.Namespace, labelers: int) -> Feeding:
    """Measures a run with this number of labelers on a new cluster."""
    each = labelers // asked.nodes
    kind = {"num_cpus": 2 * each} if asked.cpus else {"num_cpus": each, "num_gpus": each}
    feeding = {"num_cpus": 2}  # a node without GPUs
    kind, feeding = ({**each, "object_store_memory": OBJECT_STORE_BYTES} for each in (kind, feeding))
    output, log = folder / f"out-{labelers}", folder / f"log-{labelers}"
    nodes = SeveralNodes([*[kind] * asked.nodes, feeding])
    try:
        flags = ["--address", nodes.address, "--workers", str(labelers), *asked.flags]
        command = [
            sys.executable,
            __file__,
            "drive",
            source,
            output,
            log,
            str(asked.sleep_ms),
            str(asked.ahead),
            *flags,
        ]
        _wait_until_idle()
        began, cpu_before = time.perf_counter(), _cpu_s()
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
        image = Worked(**json.loads(line))
        by_labeler[image.labeler].append(image)
    ended = Dataset.at(str(output)).record.ended or {}
    return _figures(list(by_labeler.values()), began, cpu_s, asked, ended["report"]["feed_idle"], faults)


def _wait_until_idle() -> None:
    """Returns when the cluster is up and its processes have finished their imports."""
    used = 1.0
    while used > IDLE_CPU:
        before = _cpu_s()
        time.sleep(1)
        used = _cpu_s() - before


class _Watch:
    """Waits for the driver, and reads the CPU time of the driver and its children until they end."""

    def __init__(self, driver: "subprocess.Popen[bytes]") -> None:
        self.cpu_s = 0.0
        while driver.poll() is None:
            self.cpu_s = max(self.cpu_s, _cpu_s())
            time.sleep(0.2)
        self.code = driver.returncode


def _cpu_s() -> float:
    """CPU seconds of all processes below this one, including those that have ended and were waited for."""
    total = 0
    for pid in descendants([os.getpid()]):
        try:
            total += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
        except OSError:  # it ended meanwhile
            continue
    return total / os.sysconf("SC_CLK_TCK")


def _figures(
    labelers: list[list[Worked]],
    began: float,
    cpu_s: float,
    asked: argparse.Namespace,
    feed_idle: float,
    faults: list[str],
) -> Feeding:
    windows = [(min(image.began for image in each), max(image.ended for image in each)) for each in labelers]
    there_s = sum(end - start for start, end in windows)
    images = sum(map(len, labelers))
    idle_s = there_s - images * asked.sleep_ms / 1000
    rate = images / (max(end for _, end in windows) - min(start for start, _ in windows))
    return Feeding(
        labelers=len(labelers),
        images=images,
        images_a_second=round(rate, 1),
        of_linear=round(rate * asked.sleep_ms / 1000 / len(labelers), 3),
        idle=round(idle_s / there_s, 4),
        idle_ms=round(idle_s / images * 1000, 2),
        feed_idle=round(feed_idle, 4),
        cpu_ms=round(cpu_s / images * 1000, 1),
        first_masks_s=round(min(image.ended for each in labelers for image in each) - began, 1),
        faults=faults,
    )


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--labelers", type=int, nargs="+", default=[2, 4, 8])
    options.add_argument("--nodes", type=int, default=2, help="that labelers run on")
    options.add_argument("--images", type=int, default=4000)
    options.add_argument("--sleep-ms", type=float, default=20)
    options.add_argument("--ahead", type=int, default=4, help="images in the queue of a labeler's device")
    options.add_argument("--size", type=int, nargs=2, help="of the photos, JPEGs then: width and height")
    options.add_argument("--s3", action="store_true", help="photos in a bucket, not in a folder")
    options.add_argument("--cpus", action="store_true", help="labelers on CPUs, not on GPUs")
    options.add_argument("flags", nargs="*", help="of `sam-label run`, after --")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "in"
        write_photos(photos, asked.images, asked.size)
        with source_of(photos, asked.s3) as source:
            for labelers in asked.labelers:
                print(json.dumps(asdict(measured(Path(folder), source, asked, labelers))), flush=True)


if __name__ == "__main__":
    drive(*sys.argv[2:]) if sys.argv[1:2] == ["drive"] else main()
