"""The figures of reliability, measured. Each part is a program of its own that prints JSON, run at full size.

Usage: figures.py [--only PART ...] [--PART SIZE ...], for example --only kills races --kills 50. A table for
people, then all figures as one line of JSON. Exit code 1 where a promise did not hold. On two cores the whole
takes about an hour.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHAOS = Path(__file__).parent
Figures = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """One program, its size, and how to read what it prints last."""

    program: str
    size: int
    option: str  # that takes the size; "" for the first argument
    held: Callable[[Figures], bool]
    told: Callable[[Figures], str]


def has_no_faults(found: Figures) -> bool:
    return found["faults"] == []


def _kills(found: Figures) -> str:
    dealt = ", ".join(f"{count} {kind}s" for kind, count in found["kills"].items())
    return (
        f"killed {dealt}; {found['datasets']} datasets of {found['images']} images, each as undisturbed; "
        f"{found['done_again']} images done again; seed {found['seed']}"
    )


def _s3(found: Figures) -> str:
    return (
        f"{sum(found['spoilt'].values())} of {found['requests']} requests spoilt ({found['spoilt']}), "
        f"{found['images']} images; run again: {found['again_labelled']} inferences, "
        f"{found['again_writes']} writes; seed {found['seed']}"
    )


def _outages(found: Figures) -> str:
    ended = ", ".join(f"{name} {one['ended_s']} s" for name, one in found["outages"].items())
    return f"{found['images']} images each, finished after it; from the loss to the end: {ended}"


PARTS = {
    "kills": Part("kills.py", 200, "--kills", has_no_faults, _kills),
    "s3": Part(
        "faulted_s3.py",
        2000,
        "--images",
        lambda found: has_no_faults(found) and found["again_labelled"] == found["again_writes"] == 0,
        _s3,
    ),
    "outages": Part("outages.py", 80, "--images", has_no_faults, _outages),
    "hostile": Part(
        "hostile.py",
        500,
        "--mutants",
        has_no_faults,
        lambda found: (
            f"{found['files']} files, {found['from_pillow']} of them Pillow's: {found['labelled']} labelled, "
            f"{found['failed']}"
        ),
    ),
    "poison": Part(
        "poison.py",
        1400,
        "--images",
        lambda found: has_no_faults(found) and found["most_attempts"] <= 3,
        lambda found: (
            f"{found['poisons']} poisons among {found['images']} images, at most "
            f"{found['most_attempts']} attempts"
        ),
    ),
    "races": Part(
        "races.py",
        50,
        "--races",
        has_no_faults,
        lambda found: (
            f"{found['one_winner']} of {found['races']} with one winner, the loser gone in "
            f"{found['slowest_loser_s']} s"
        ),
    ),
    "protocol": Part(
        "protocol.py",
        100,
        "--lives",
        has_no_faults,
        lambda found: f"{found['passed']} tests passed, {found['lives']} lives of the state machine",
    ),
    "listing": Part(
        "../bench/bench_listing.py",
        1_000_000,
        "",
        lambda found: found["more_mb"] <= 300,
        lambda found: f"{found['keys']:,} keys, {found['more_mb']} MB more",
    ),
}


def measured(part: Part, size: int) -> Figures:
    """What the program found, and whether the promise held; its last words where it failed."""
    arguments = [part.option, str(size)] if part.option else [str(size)]
    command = [sys.executable, CHAOS / part.program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return {"held": False, "error": done.stderr.strip()[-2000:]}
    found: Figures = json.loads(done.stdout.strip().rpartition("\n")[2])
    return {"held": part.held(found), **found}


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    for name, part in PARTS.items():
        options.add_argument(f"--{name}", type=int, default=part.size, metavar="SIZE")
    asked = options.parse_args()
    figures = {}
    for name in asked.only:
        found = figures[name] = measured(PARTS[name], getattr(asked, name))
        verdict = "held  " if found["held"] else "BROKEN"
        said = found.get("error") or PARTS[name].told(found)
        print(f"{name:<8} {verdict} {said}; {found.get('seconds', '?')} s", flush=True)
        for fault in found.get("faults", []):
            print(f"         {fault}", flush=True)
    print(json.dumps(figures))
    return 0 if all(found["held"] for found in figures.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
