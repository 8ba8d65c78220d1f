"""The output protocol without Ray: random orders of events, kills at each step of a commit, racing processes.

Runs these tests with more random lives. Usage: protocol.py [--lives N]. Prints JSON.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

TESTS = ["test_state_machine.py", "test_commit_steps.py", "test_two_runs.py"]
MOST_S = 3600


@dataclass
class Protocol:
    """The result of the tests; the promises held if `faults` is empty."""

    lives: int
    passed: int = 0
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0


def protocol(lives: int) -> Protocol:
    """Runs the tests with `lives` lives of the state machine."""
    began, outcome = time.monotonic(), Protocol(lives)
    paths = [Path(__file__).with_name(name) for name in TESTS]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", f"--timeout={MOST_S}", "-p", "no:cacheprovider", *paths],
        env={**os.environ, "LIVES": str(lives)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        outcome.faults = [line for line in done.stdout.splitlines() if line.startswith(("E ", "FAILED"))]
        outcome.faults = outcome.faults or [done.stdout[-2000:]]
    passed = re.search(r"(\d+) passed", done.stdout)
    outcome.passed = int(passed[1]) if passed else 0
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--lives", type=int, default=100)
    print(json.dumps(asdict(protocol(options.parse_args().lives))))


if __name__ == "__main__":
    main()
