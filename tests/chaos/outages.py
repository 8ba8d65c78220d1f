"""Runs that lose what they depend on: a full disk, a store that hangs or dies, a cluster whose head dies, or
only the head's control process, or where that process hangs.

Each run must end by itself, with one sentence and its exit code, and lose nothing that was committed. After
the outage the same command must finish it. Only a child process sees the mount of the full disk; on a machine
that allows no such mount this one outage fails.
Usage: outages.py [--only OUTAGE ...] [--images N]. Prints JSON.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from outage import Outage

OUTAGES = ("disk", "hang", "store", "head", "control", "hanging-control")  # each a scene of losses.py
OWN_MOUNTS = ["unshare", "--mount", "--map-root-user"]


def outage_in_own_mounts(name: str, images: int) -> Outage:
    """Runs the same in a process whose mounts no other process sees."""
    command = [*OWN_MOUNTS, sys.executable, __file__, "--only", name, "--images", str(images)]
    environment = {**os.environ, "OWN_MOUNTS": "yes"}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    except FileNotFoundError as missing:
        return Outage(faults=[f"nothing was filled: {missing}"])
    if done.returncode:
        return Outage(faults=[f"nothing was filled: {done.stderr.strip()[-2000:]}"])
    return Outage(**json.loads(done.stdout)["outages"][name])


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--only", nargs="+", choices=OUTAGES, default=list(OUTAGES))
    options.add_argument("--images", type=int, default=80)
    asked = options.parse_args()
    began, outcomes = time.monotonic(), {}
    for name in asked.only:
        if name == "disk" and "OWN_MOUNTS" not in os.environ:
            outcomes[name] = outage_in_own_mounts(name, asked.images)
            continue
        from losses import outage  # which takes seconds

        with tempfile.TemporaryDirectory() as folder:
            outcomes[name] = outage(name, asked.images, Path(folder))
    print(
        json.dumps(
            {
                "images": asked.images,
                "outages": {name: asdict(one) for name, one in outcomes.items()},
                "faults": [f"{name}: {fault}" for name, one in outcomes.items() for fault in one.faults],
                "seconds": round(time.monotonic() - began, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
