"""Two runs started at once on one output, again and again: one goes on, the other exits soon.

Usage: races.py [--races N]. Prints JSON. It is a separate process since Ray reads the environment on import.
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

os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
sys.path.append(str(Path(__file__).parents[1] / "stand_in"))

import stand_in_run
from rows import faults_of
from several_nodes import SeveralNodes
from stand_in_generator import write_photos

IMAGES, DELAY_S = 8, 1.0  # long enough that the winner still runs when the loser has waited for its beat
WON, LOCKED = 0, 5
LOSER_S = 10


@dataclass
class Races:
    """The result of the races; the promises held if `faults` is empty."""

    races: int
    one_winner: int = 0
    slowest_loser_s: float = 0.0  # from its start, Python's included
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0


def races(folder: Path, count: int) -> Races:
    """`count` races, each for an output of its own below the folder."""
    began, outcome = time.monotonic(), Races(count)
    write_photos(folder / "in", IMAGES)
    nodes = SeveralNodes()
    try:
        for number in range(count):
            output = folder / f"out{number}"
            codes, loser_s = _race(nodes.address, folder / "in", output)
            outcome.one_winner += codes == [WON, LOCKED]
            outcome.slowest_loser_s = round(max(outcome.slowest_loser_s, loser_s), 1)
            faults = faults_of(output, IMAGES)
            if codes != [WON, LOCKED]:
                faults.append(f"exit codes {codes}")
            if loser_s > LOSER_S:
                faults.append(f"the loser left after {loser_s:.1f} s")
            outcome.faults += [f"race {number}: {fault}" for fault in faults]
    finally:
        nodes.close()
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome


def _race(address: str, photos: Path, output: Path) -> tuple[list[int], float]:
    """The exit codes, sorted, and after how long the first run exited."""
    started = time.monotonic()
    options = json.dumps({"address": address, "workers": 1})
    pair = [
        subprocess.Popen(
            [sys.executable, stand_in_run.__file__, photos, output, str(DELAY_S)],
            env={**os.environ, "RUN_OPTIONS": options},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]
    while all(racer.poll() is None for racer in pair):
        time.sleep(0.05)
    loser_s = time.monotonic() - started
    return sorted(racer.wait() for racer in pair), loser_s


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--races", type=int, default=50)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(asdict(races(Path(folder), options.parse_args().races))))


if __name__ == "__main__":
    main()
