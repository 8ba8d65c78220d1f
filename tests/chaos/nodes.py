"""Runs on clusters whose nodes are unequal, come, go, or cannot start a labeler.

`changes`: nodes of `ray.cluster_utils` with GPUs that Ray only counts; one joins, one is killed, and on one
no labeler starts. `processes`: the same joins and ends with processes of `ray start`, each ended by its id.

Usage: nodes.py [--only SCENE ...] [--images N]. Prints JSON. It is a separate process because Ray reads its
environment when it is imported.
"""

import argparse
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

os.environ |= {"RAY_AUTH_TOKEN": secrets.token_hex(32)} | os.environ | {"RAY_AUTH_MODE": "token"}
sys.path.append(str(Path(__file__).parents[1] / "stand_in"))

import pyarrow as pa
import ray
from processes import descendants, kill
from rows import faults_of
from several_nodes import SeveralNodes
from stand_in_generator import StandInGenerator, write_photos

import pipeline.run
from jobs import cli
from pipeline.labelling.fetch import fetched_block
from pipeline.labelling.labeler import LabelerSettings

BROKEN = "SAM_LABEL_TEST_BROKEN_NODE"  # in the environment of a node's workers
SLOW_S = 2.0  # an image, until a scene has seen what it waits for
PATIENCE_S = 400.0
LEFT = "has left the cluster"
UP = "Ray runtime started"  # as `ray start` says it
WAIT_S = 240.0  # a busy machine starts nodes slowly; Ray Data looks for new ones every 20 s
ONE_GPU, TWO_GPUS = {"num_cpus": 1, "num_gpus": 1}, {"num_cpus": 3, "num_gpus": 2}
FEW_CPUS = {"num_cpus": 1, "num_gpus": 2}  # room for one labeler
WITHOUT_GPU = {"num_cpus": 2}
GPUS = 5  # of the nodes at the start
CPUS_WITHOUT_GPU = 2 / 7  # of the CPUs at the start, the broken node's among them


class NotingGenerator(StandInGenerator):
    """Notes the node of each image, and is slow until a file `hurry` exists beside the notes."""

    def __init__(self, log: Path) -> None:
        super().__init__(0, None)
        self._notes, self._here = log, ray.get_runtime_context().get_node_id()

    def generate_masks(self, image: Any) -> Any:
        note(self._notes, "labelled", self._here)
        until = time.monotonic() + SLOW_S
        while time.monotonic() < until and not self._notes.with_name("hurry").exists():
            time.sleep(0.05)
        return super().generate_masks(image)


def note(log: Path, what: str, node: str) -> None:
    with log.open("a") as lines:
        lines.write(f"{what} {node}\n")


def load(settings: LabelerSettings, log: Path) -> NotingGenerator:
    """Fails on a broken node, by turns like a broken GPU driver and like a process that gets no memory."""
    here = ray.get_runtime_context().get_node_id()
    if BROKEN in os.environ:
        note(log, "broken", here)
        if log.read_text().count("broken") % 2 == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        raise RuntimeError("CUDA driver initialization failed")
    return NotingGenerator(log)


def fetched_and_noted(images: pa.Table, log: Path, **settings: Any) -> pa.Table:
    note(log, "fetched", ray.get_runtime_context().get_node_id())
    return fetched_block(images, **settings)


def drive(source: str, output: str, log: str, address: str) -> None:
    """The command, in a process of its own."""
    pipeline.run.fetched_block = partial(fetched_and_noted, log=Path(log))  # type: ignore[assignment]
    pipeline.run.run = partial(pipeline.run.run, load=partial(load, log=Path(log)))
    cli.main(
        ["run", source, output, "--json", "--address", address, "--device", "cuda", "--images-per-block", "4"]
    )


class Drive:
    """A run on a cluster, and what each node has done so far."""

    def __init__(self, source: Path, folder: Path, address: str) -> None:
        self.output, self._log, self._words = folder / "out", folder / "nodes.log", folder / "words.txt"
        self._log.touch()
        command = [sys.executable, __file__, "drive", source, self.output, self._log, address]
        with self._words.open("wb") as words:
            self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=words)

    def count(self, what: str) -> Counter[str]:
        """How often each node did `what`."""
        lines = [line.split() for line in self._log.read_text().splitlines()]
        return Counter(node for did, node in lines if did == what)

    def wait_for(self, claim: Callable[[], bool], what: str) -> str | None:
        """A fault if the claim did not become true in time, or before the run ended."""
        deadline = time.monotonic() + WAIT_S
        while not claim():
            if self._process.poll() is not None or time.monotonic() > deadline:
                return f"{what}: not seen"
            time.sleep(0.1)
        return None

    def end(self) -> list[str]:
        """Lets the run finish fast, and returns its faults."""
        self._log.with_name("hurry").touch()
        try:
            code = self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return [f"the run did not end: {self.words()[-500:]}"]
        return [f"exit code {code}: {self.words()[-500:]}"] if code else []

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def words(self) -> str:
        return self._words.read_text()


@dataclass
class Scene:
    """The observations; the promises held if `faults` is empty."""

    images: int
    by_node: dict[str, int] = field(default_factory=dict)
    joined_s: float = 0.0  # from a node's join to its first image
    faults: list[str] = field(default_factory=list)


def changes(source: Path, folder: Path, images: int) -> Scene:
    """Unequal nodes: one joins, then one that labels is killed, and one never labels."""
    scene = Scene(images)
    with ExitStack() as stack:
        nodes = SeveralNodes([TWO_GPUS, FEW_CPUS, WITHOUT_GPU])
        stack.callback(nodes.close)
        broken = nodes.join(ONE_GPU | {"env_vars": {BROKEN: "1"}})
        two, few, without = nodes.nodes[:3]
        drive = Drive(source, folder, nodes.address)
        stack.callback(drive.close)

        def has_labelled(node: Any) -> bool:
            return drive.count("labelled")[node.node_id] > 0

        seen = [drive.wait_for(lambda: has_labelled(two) and has_labelled(few), "labelers spread over nodes")]
        seen.append(drive.wait_for(lambda: nodes.gpus_asked_for() > GPUS, "more GPUs are asked for"))
        joined, began = nodes.join(TWO_GPUS), time.monotonic()
        seen.append(drive.wait_for(lambda: has_labelled(joined), "the node that joined gets images"))
        scene.joined_s = round(time.monotonic() - began, 1)
        nodes.leave(two)
        seen.append(drive.wait_for(lambda: LEFT in drive.words(), "the killed node is named"))
        scene.faults += [fault for fault in seen if fault] + drive.end()
    names = {"two GPUs": two, "one CPU": few, "no GPU": without, "joined": joined, "broken": broken}
    scene.by_node = {name: drive.count("labelled")[node.node_id] for name, node in names.items()}
    fetched, tried = drive.count("fetched"), drive.count("broken")[broken.node_id]
    # Small images are mostly fetched at the same time; a task that finds no free CPU there runs elsewhere.
    # Without a preference, this node's share of the tasks would be its share of the CPUs.
    if fetched[without.node_id] <= fetched.total() * CPUS_WITHOUT_GPU:
        scene.faults.append(f"blocks were fetched beside GPUs: {fetched}")
    if tried < 2 or scene.by_node["broken"]:
        scene.faults.append(f"the broken node tried {tried} times and labelled {scene.by_node['broken']}")
    if "CUDA driver initialization failed" not in drive.words():
        scene.faults.append("nothing was said of the broken node")
    scene.faults += faults_of(drive.output, images)
    return scene


def processes(source: Path, folder: Path, images: int) -> Scene:
    """`ray start` for each node: one joins, one gets SIGTERM, one is killed."""
    scene = Scene(images)
    with ExitStack() as stack:
        nodes = stack.enter_context(closing(StartedRay(folder / "ray")))
        nodes.start("a", 2)
        nodes.start("b", 1)
        drive = Drive(source, folder, nodes.address)
        stack.callback(drive.close)
        seen = [drive.wait_for(lambda: len(drive.count("labelled")) == 2, "labelers spread over nodes")]
        began = time.monotonic()
        nodes.start("c", 2)
        seen.append(
            drive.wait_for(lambda: len(drive.count("labelled")) == 3, "the node that joined gets images")
        )
        scene.joined_s = round(time.monotonic() - began, 1)
        nodes.end("a", signal.SIGTERM)
        nodes.end("b", signal.SIGKILL)
        scene.faults += [fault for fault in seen if fault] + drive.end()
    scene.by_node = dict(drive.count("labelled"))
    scene.faults += faults_of(drive.output, images)
    return scene


class StartedRay:
    """A cluster of processes of `ray start`, with ports and a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._processes = folder, {}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        head = [
            "--head",
            f"--port={port}",
            "--num-cpus=0",
            f"--temp-dir={folder}",
            "--include-dashboard=false",
        ]
        self._start("head", *head)
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            time.sleep(0.1)
        raise TimeoutError("the head of the cluster does not listen")

    def start(self, name: str, gpus: int = 0, before: Sequence[str] = ()) -> None:
        """Returns when the node is up: of two that start on one machine at once, one may time out.

        `before` are words of a command that runs another, `ray start` here.
        """
        self._start(name, f"--address={self.address}", "--num-cpus=3", f"--num-gpus={gpus}", before=before)
        said, process = self._said(name), self._processes[name]
        deadline = time.monotonic() + WAIT_S
        while UP not in said.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError(f"node {name} does not start: {said.read_text()[-500:]}")
            time.sleep(0.1)

    def _start(self, name: str, *words: str, before: Sequence[str] = ()) -> None:
        command = [
            *before,
            sys.executable,
            "-m",
            "ray.scripts.scripts",
            "start",
            "--block",
            "--disable-usage-stats",
            *words,
        ]
        command += [
            "--dashboard-agent-listen-port=0",
            f"--object-store-memory={80 << 20}",
            "--node-ip-address=127.0.0.1",
        ]
        with self._said(name).open("wb") as said:
            self._processes[name] = subprocess.Popen(command, stdout=said, stderr=said)

    def _said(self, name: str) -> Path:
        return self._folder.parent / f"{name}.log"

    def end(self, name: str, how: signal.Signals) -> None:
        """Ends a node. On SIGTERM `ray start` ends its node's processes; for SIGKILL this kills them too."""
        process = self._processes.pop(name)
        below = descendants([process.pid])
        process.send_signal(how)
        if how == signal.SIGKILL:
            kill(below)
        process.wait(WAIT_S)

    def close(self) -> None:
        for name in reversed([*self._processes]):
            self.end(name, signal.SIGKILL)


SCENES = {"changes": changes, "processes": processes}


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--only", nargs="+", choices=SCENES, default=list(SCENES))
    options.add_argument("--images", type=int, default=600)
    asked = options.parse_args()
    began, scenes = time.monotonic(), {}
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "in"
        write_photos(photos, asked.images)
        for name in asked.only:
            (Path(folder) / name).mkdir()
            scenes[name] = SCENES[name](photos, Path(folder) / name, asked.images)
    print(
        json.dumps(
            {
                "scenes": {name: asdict(scene) for name, scene in scenes.items()},
                "faults": [f"{name}: {fault}" for name, scene in scenes.items() for fault in scene.faults],
                "seconds": round(time.monotonic() - began, 1),
            }
        )
    )


if __name__ == "__main__":
    drive(*sys.argv[2:]) if sys.argv[1:2] == ["drive"] else main()
