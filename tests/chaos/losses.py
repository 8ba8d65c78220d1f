"""The outages of outages.py, and how a run must end in each; imported only in the process that uses it.

Ray reads its environment when it is imported.
"""

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
sys.path.append(str(Path(__file__).parents[1] / "stand_in"))

import stand_in_run
from outage import Outage
from rows import faults_of
from several_nodes import SeveralNodes
from stand_in_generator import write_photos
from store_of_photos import store_of_photos

from pipeline.output.dataset import Dataset
from pipeline.store.storage import Store

DELAY_S = 0.15  # for an image: 80 images are twelve seconds of labelling, in shards of eight
BLOCKS = {"workers": 1, "images_per_block": 4}
PATIENCE_S = 240
Driver = subprocess.Popen[bytes]


@dataclass(frozen=True)
class Scene:
    """A run's input and output, the outage, and how the run must end."""

    source: str
    output: str
    strike: Callable[[Driver], None]
    mend: Callable[[], Mapping[str, Any]]  # the options that the next run needs
    ends: tuple[int, str]  # exit code, and part of the error message
    options: Mapping[str, Any] = field(default_factory=dict)


@contextmanager
def full_disk(folder: Path) -> Iterator[Scene]:
    """A full disk of 4 MB, mounted for this process and its children."""
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], check=True)

    def fill(_: Driver) -> None:
        with suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))

    def empty() -> Mapping[str, Any]:
        (disk / "filler").unlink()
        return {}

    try:
        ends = (1, "No space left on device; run again when")
        yield Scene(str(folder / "in"), str(disk / "out"), fill, empty, ends)
    finally:
        subprocess.run(["umount", disk], check=True)


@contextmanager
def hanging_store(folder: Path) -> Iterator[Scene]:
    """The store of input and output accepts requests and never answers; the run gets a SIGTERM."""
    with store_of_photos(folder) as (server, bucket):

        def hang(driver: Driver) -> None:
            server.signal(signal.SIGSTOP)
            driver.send_signal(signal.SIGTERM)

        def go_on() -> Mapping[str, Any]:
            server.signal(signal.SIGCONT)
            return {}

        yield Scene(
            f"{bucket}/in", f"{bucket}/out", hang, go_on, (130, "interrupted; run the same command again")
        )


@contextmanager
def dead_store(folder: Path) -> Iterator[Scene]:
    """The store of input and output is killed, and later starts again with the same data."""
    with store_of_photos(folder) as (server, bucket):

        def restart() -> Mapping[str, Any]:
            server.start()
            return {}

        yield Scene(
            f"{bucket}/in", f"{bucket}/out", lambda _: server.kill(), restart, (1, "run again when the store")
        )


@contextmanager
def dead_head(folder: Path) -> Iterator[Scene]:
    """The head node of the cluster is killed; the run is started again on another cluster."""
    with _lost_cluster(folder, SeveralNodes.kill_head) as scene:
        yield scene


@contextmanager
def dead_control(folder: Path) -> Iterator[Scene]:
    """The cluster's control process is killed, while the head's other processes live."""
    with _lost_cluster(folder, SeveralNodes.kill_control) as scene:
        yield scene


@contextmanager
def hanging_control(folder: Path) -> Iterator[Scene]:
    """The cluster's control process accepts connections and answers nothing."""
    with _lost_cluster(folder, SeveralNodes.stop_control) as scene:
        yield scene


@contextmanager
def _lost_cluster(folder: Path, kill: Callable[[SeveralNodes], None]) -> Iterator[Scene]:
    clusters = [SeveralNodes()]

    def another() -> Mapping[str, Any]:
        clusters.pop().close()
        clusters.append(SeveralNodes())
        return {"address": clusters[0].address}

    try:
        yield Scene(
            str(folder / "in"),
            str(folder / "out"),
            lambda _: kill(clusters[0]),
            another,
            (1, "Ray was lost"),
            {"address": clusters[0].address},
        )
    finally:
        for cluster in clusters:
            cluster.close()


# Progress, and the warnings of calls that are tried again.
BEFORE_THE_END = re.compile(r"\d+ of \d+ images, \d+ failed|(sam-label: warning: )?cannot .* \(try \d")
LOSSES = {
    "disk": full_disk,
    "hang": hanging_store,
    "store": dead_store,
    "head": dead_head,
    "control": dead_control,
    "hanging-control": hanging_control,
}


def outage(name: str, images: int, folder: Path) -> Outage:
    """The result of the outage in a run over `images`, in a new folder."""
    outcome = Outage()
    write_photos(folder / "in", images)
    with LOSSES[name](folder) as scene:
        with _driver(scene, folder) as driver:
            outcome.kept = _rows_once_committed(scene.output, driver)
            scene.strike(driver)
            struck = time.monotonic()
            code = driver.wait(PATIENCE_S)
            outcome.ended_s = round(time.monotonic() - struck, 1)
        *progress, outcome.last_line = (folder / "stderr").read_text().splitlines() or [""]
        is_clean = all(BEFORE_THE_END.match(line) for line in progress)
        if not is_clean or code != scene.ends[0] or scene.ends[1] not in outcome.last_line:
            outcome.faults.append(f"ended with {code} and printed: {progress} {outcome.last_line}")
        if code == 130 and outcome.ended_s > 30:
            outcome.faults.append(f"interrupted, it took {outcome.ended_s} s to end")
        options = {**BLOCKS, **scene.mend()}
        if (rows := Dataset.at(scene.output).rows) < outcome.kept:
            outcome.faults.append(f"{rows} rows of {outcome.kept} were left")
        stand_in_run.finished(scene.source, scene.output, folder / "log", options)
        outcome.faults += faults_of(scene.output, images)
    return outcome


@contextmanager
def _driver(scene: Scene, folder: Path) -> Iterator[Driver]:
    options = json.dumps({**BLOCKS, **scene.options})
    command = [sys.executable, stand_in_run.__file__, scene.source, scene.output, str(DELAY_S)]
    with (folder / "stderr").open("wb") as stderr:
        driver = subprocess.Popen(
            command, env={**os.environ, "RUN_OPTIONS": options}, stdout=subprocess.DEVNULL, stderr=stderr
        )
    try:
        yield driver
    finally:
        driver.kill()
        driver.wait()


def _rows_once_committed(output: str, driver: Driver) -> int:
    """Waits for the dataset's first rows, and returns their number."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        dataset = Dataset.in_store_or_none(Store.at(output))
        if dataset and dataset.rows:
            return dataset.rows
        if driver.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"nothing was committed to {output}; exit code {driver.poll()}")
        time.sleep(0.1)
