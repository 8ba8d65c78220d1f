"""A run under random SIGKILLs of its workers, of the nodes they run on, and of its driver.

The same command is started again until the dataset is done; then another dataset is begun, until all the
kills are done. Every dataset must have the same rows as after an undisturbed run.

Usage: kills.py [--kills N] [--only KIND] [--images N] [--delay-s S] [--seed N]. Prints JSON. It is a separate
process because Ray reads its environment when it is imported, and so that it kills only its own descendants.
"""

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
sys.path.append(str(Path(__file__).parents[1] / "stand_in"))

import stand_in_run
from rows import faults_of
from several_nodes import SeveralNodes
from stand_in_generator import write_photos

SHARES = {"worker": 0.6, "node": 0.2, "driver": 0.2}
MEAN_GAP_S = 0.7  # from an image's begin to the next kill
# This share of the kills waits until an image is begun. The others come at any time, even while Ray starts.
AT_WORK = 0.75
LONGEST_LULL_S = 40  # no image begins while the last ones are being written
RESUMABLE = 1  # the exit code of a driver that has lost its Ray
PATIENCE_S = 300  # for a dataset after the last kill


@dataclass
class Storm:
    """The kills and their result; the promises held if `faults` is empty."""

    seed: int
    images: int  # of each dataset
    datasets: int = 0
    kills: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SHARES, 0))
    # The last lines of drivers that ended without being killed.
    gave_up: list[str] = field(default_factory=list)
    done_again: int = 0  # images, of all datasets
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0


def storm(folder: Path, deck: list[str], images: int, delay_s: float, seed: int) -> Storm:
    """The deck's kills, over datasets of `images` images; a labeler takes `delay_s` for each image."""
    began, outcome, rng = time.monotonic(), Storm(seed, images), Random(seed)
    write_photos(folder / "in", images)
    rng.shuffle(deck)
    nodes = SeveralNodes()
    try:
        while deck:
            drive = _Drive(nodes, folder / "in", folder / f"out{outcome.datasets}", delay_s)
            _until_done(drive, deck, rng, outcome)
            outcome.datasets += 1
            outcome.done_again += drive.begun() - images
            faults = faults_of(drive.output, images)
            outcome.faults += [f"{drive.output.name}: {fault}" for fault in faults]
    finally:
        nodes.close()
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome


@dataclass(frozen=True)
class _Drive:
    """One dataset, and the command that resumes it."""

    nodes: SeveralNodes
    photos: Path
    output: Path
    delay_s: float

    def start(self) -> "subprocess.Popen[bytes]":
        options = json.dumps({"address": self.nodes.address, "workers": 1, "images_per_block": 4})
        with self.output.with_suffix(".err").open("wb") as last_words:
            return subprocess.Popen(
                [
                    sys.executable,
                    stand_in_run.__file__,
                    self.photos,
                    self.output,
                    str(self.delay_s),
                    self._log,
                ],
                env={**os.environ, "RUN_OPTIONS": options},
                stdout=subprocess.DEVNULL,
                stderr=last_words,
            )

    def last_words(self) -> str:
        return self.output.with_suffix(".err").read_text().strip().rpartition("\n")[2]

    def begun(self) -> int:
        """How many images labelers have begun, including repeated ones."""
        return len(self._log.read_text().split()) if self._log.exists() else 0

    def wait_for_work(self, driver: "subprocess.Popen[bytes]") -> None:
        """Waits until an image is begun, the driver has ended, or nothing has happened for LONGEST_LULL_S."""
        begun, deadline = self.begun(), time.monotonic() + LONGEST_LULL_S
        while self.begun() == begun and driver.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)

    @property
    def _log(self) -> Path:
        return self.output.with_suffix(".log")


def _until_done(drive: _Drive, deck: list[str], rng: Random, outcome: Storm) -> None:
    """Kills the victims that the deck names, until a driver has succeeded."""
    driver, deadline = drive.start(), None
    try:
        while driver.poll() != 0:
            if driver.poll() is not None:
                if driver.returncode > 0:
                    outcome.gave_up.append(drive.last_words())
                    assert driver.returncode == RESUMABLE, drive.last_words()
                driver = drive.start()
            if not deck:
                deadline = deadline or time.monotonic() + PATIENCE_S
                driver.wait(max(0.0, deadline - time.monotonic()))
                continue
            if rng.random() < AT_WORK:
                drive.wait_for_work(driver)
            time.sleep(rng.expovariate(1 / MEAN_GAP_S))
            if driver.poll() is None and _struck(deck[-1], drive.nodes, driver, rng):
                outcome.kills[deck.pop()] += 1
    finally:
        driver.kill()
        driver.wait()


def _struck(victim: str, nodes: SeveralNodes, driver: "subprocess.Popen[bytes]", rng: Random) -> bool:
    """Kills the victim; returns False if it was not there."""
    match victim:
        case "worker":
            return nodes.kill_worker(rng)
        case "node":
            nodes.kill_node(rng)
        case "driver":
            driver.kill()
            driver.wait()
    return True


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--kills", type=int, default=200)
    options.add_argument(
        "--only", choices=list(SHARES), help="what is killed; all in their shares if not given"
    )
    options.add_argument("--images", type=int, default=300)
    options.add_argument("--delay-s", type=float, default=0.1)
    options.add_argument("--seed", type=int, default=4)
    asked = options.parse_args()
    shares = {asked.only: 1.0} if asked.only else SHARES
    deck = [kind for kind, share in shares.items() for _ in range(round(share * asked.kills))]
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(asdict(storm(Path(folder), deck, asked.images, asked.delay_s, asked.seed))))


if __name__ == "__main__":
    main()
