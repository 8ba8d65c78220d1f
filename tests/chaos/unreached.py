"""Runs on a cluster all of whose labelers are on a node that does not reach input and output.

`refused`: the node has the wrong key of an S3 store. `closed`: nothing listens where it looks for the store.
`unmounted`: the folder of both is not mounted there, so that an empty one is in its place. The driver's node
must do what the store refuses, and say so once.

Usage: unreached.py [--only SCENE ...] [--images N]. Prints JSON. It is a separate process because Ray reads
its environment when it is imported.
"""

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

os.environ |= {"RAY_AUTH_TOKEN": secrets.token_hex(32)} | os.environ | {"RAY_AUTH_MODE": "token"}
sys.path.append(str(Path(__file__).parents[1] / "stand_in"))

import stand_in_run
from nodes import StartedRay
from rows import faults_of
from several_nodes import SeveralNodes
from stand_in_generator import write_photos
from store_of_photos import store_of_photos

CLOSED = "http://127.0.0.1:9"
# In mounts of its own, where an empty folder covers the first argument, runs the others as a command.
WITH_AN_EMPTY_FOLDER = [
    *("unshare", "--mount", "--map-root-user"),
    *("sh", "-c", 'mount -t tmpfs tmpfs "$0" && exec "$@"'),
]
SAYS = "the driver's machine does that work"


@contextmanager
def refused(folder: Path) -> Iterator[tuple[str, str]]:
    with _in_a_store(folder, {"AWS_SECRET_ACCESS_KEY": "another"}) as places:
        yield places


@contextmanager
def closed(folder: Path) -> Iterator[tuple[str, str]]:
    with _in_a_store(folder, {"AWS_ENDPOINT_URL": CLOSED}) as places:
        yield places


@contextmanager
def unmounted(folder: Path) -> Iterator[tuple[str, str]]:
    shared = folder / "shared"
    shared.mkdir()
    (folder / "in").rename(shared / "in")
    with closing(StartedRay(folder / "ray")) as nodes:
        nodes.start("without", before=[*WITH_AN_EMPTY_FOLDER, str(shared)])
        os.environ["RAY_ADDRESS"] = nodes.address
        yield str(shared / "in"), str(shared / "out")


@contextmanager
def _in_a_store(folder: Path, environment: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Input and output in a bucket, and a node besides the head's with the environment."""
    with (
        store_of_photos(folder) as (_, bucket),
        closing(SeveralNodes([{"num_cpus": 3, "env_vars": environment}])) as nodes,
    ):
        os.environ["RAY_ADDRESS"] = nodes.address
        yield f"{bucket}/in", f"{bucket}/out"


SCENES = {"refused": refused, "closed": closed, "unmounted": unmounted}


def faults(scene: str, images: int) -> list[str]:
    """What a run over `images` in the scene did not do as promised."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_photos(folder / "in", images)
        with SCENES[scene](folder) as (source, output):
            command = [sys.executable, stand_in_run.__file__, source, output, "0"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                return [f"exit code {done.returncode}: {done.stderr[-2000:]}"]
            if done.stderr.count(SAYS) != 1:
                return [f"it did not say once that {SAYS}: {done.stderr[-2000:]}"]
            return faults_of(output, images)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--only", nargs="+", choices=SCENES, default=list(SCENES))
    options.add_argument("--images", type=int, default=40)
    asked = options.parse_args()
    began = time.monotonic()
    found = {scene: faults(scene, asked.images) for scene in asked.only}
    print(
        json.dumps(
            {
                "images": asked.images,
                "scenes": asked.only,
                "faults": [f"{scene}: {fault}" for scene, those in found.items() for fault in those],
                "seconds": round(time.monotonic() - began, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
