"""Measures the figures of reliability. Each part is a separate program that prints JSON, run at full size.

Usage: figures.py [--only PART ...] [--PART SIZE ...], for example --only kills races --kills 50. A table for
people, then all figures as one line of JSON. Exit code 1 if a promise did not hold. On two cores all parts
together take about an hour.
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
    """One program, its size, and how to read the last line that it prints."""

    program: str
    size: int
    option: str  # for the size; "" if the size is the first argument
    held: Callable[[Figures], bool]
    sentence: Callable[[Figures], str]


def has_no_faults(figures: Figures) -> bool:
    return figures["faults"] == []


def _kills(figures: Figures) -> str:
    dealt = ", ".join(f"{count} {kind}s" for kind, count in figures["kills"].items())
    return (
        f"killed {dealt}; {figures['datasets']} datasets of {figures['images']} images, each as undisturbed; "
        f"{figures['done_again']} images done again; seed {figures['seed']}"
    )


def _s3(figures: Figures) -> str:
    return (
        f"{sum(figures['spoilt'].values())} of {figures['requests']} requests spoilt ({figures['spoilt']}), "
        f"{figures['images']} images; run again: {figures['again_labelled']} inferences, "
        f"{figures['again_writes']} writes; seed {figures['seed']}"
    )


def _outages(figures: Figures) -> str:
    ended = ", ".join(f"{name} {one['ended_s']} s" for name, one in figures["outages"].items())
    return f"{figures['images']} images each, finished after it; from the loss to the end: {ended}"


def _nodes(figures: Figures) -> str:
    scenes = figures["scenes"].items()
    joined = ", ".join(
        f"{name}: the node that joined labelled after {one['joined_s']} s" for name, one in scenes
    )
    return f"{joined}; images by node: {figures['scenes']['changes']['by_node']}"


PARTS = {
    "kills": Part("kills.py", 200, "--kills", has_no_faults, _kills),
    "s3": Part(
        "faulted_s3.py",
        2000,
        "--images",
        lambda figures: has_no_faults(figures) and figures["again_labelled"] == figures["again_writes"] == 0,
        _s3,
    ),
    "outages": Part("outages.py", 80, "--images", has_no_faults, _outages),
    "nodes": Part("nodes.py", 600, "--images", has_no_faults, _nodes),
    "unreached": Part(
        "unreached.py",
        40,
        "--images",
        has_no_faults,
        lambda figures: f"{figures['images']} images each: {', '.join(figures['scenes'])}",
    ),
    "hostile": Part(
        "hostile.py",
        500,
        "--mutants",
        has_no_faults,
        lambda figures: (
            f"{figures['files']} files, {figures['from_pillow']} of them Pillow's: "
            f"{figures['labelled']} labelled, {figures['failed']}"
        ),
    ),
    "poison": Part(
        "poison.py",
        1400,
        "--images",
        lambda figures: has_no_faults(figures) and figures["most_attempts"] <= 3,
        lambda figures: (
            f"{figures['poisons']} poisons among {figures['images']} images, at most "
            f"{figures['most_attempts']} attempts"
        ),
    ),
    "races": Part(
        "races.py",
        50,
        "--races",
        has_no_faults,
        lambda figures: (
            f"{figures['one_winner']} of {figures['races']} with one winner, the loser gone in "
            f"{figures['slowest_loser_s']} s"
        ),
    ),
    "train": Part(
        "ray_train.py",
        1,
        "--rounds",
        has_no_faults,
        lambda figures: f"{figures['rounds']} epochs of {figures['ranks']} ranks, each its own share",
    ),
    "protocol": Part(
        "protocol.py",
        100,
        "--lives",
        has_no_faults,
        lambda figures: f"{figures['passed']} tests passed, {figures['lives']} lives of the state machine",
    ),
    "listing": Part(
        "../bench/bench_listing.py",
        1_000_000,
        "",
        lambda figures: figures["more_mb"] <= 300,
        lambda figures: f"{figures['keys']:,} keys, {figures['more_mb']} MB more",
    ),
}


def measured(part: Part, size: int) -> Figures:
    """The program's figures, and whether the promise held; its last output if it failed."""
    arguments = [part.option, str(size)] if part.option else [str(size)]
    command = [sys.executable, CHAOS / part.program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return {"held": False, "error": done.stderr.strip()[-2000:]}
    figures: Figures = json.loads(done.stdout.strip().rpartition("\n")[2])
    return {"held": part.held(figures), **figures}


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    for name, part in PARTS.items():
        options.add_argument(f"--{name}", type=int, default=part.size, metavar="SIZE")
    asked = options.parse_args()
    by_part = {}
    for name in asked.only:
        figures = by_part[name] = measured(PARTS[name], getattr(asked, name))
        verdict = "held  " if figures["held"] else "BROKEN"
        outcome = figures.get("error") or PARTS[name].sentence(figures)
        print(f"{name:<8} {verdict} {outcome}; {figures.get('seconds', '?')} s", flush=True)
        for fault in figures.get("faults", []):
            print(f"         {fault}", flush=True)
    print(json.dumps(by_part))
    return 0 if all(figures["held"] for figures in by_part.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
