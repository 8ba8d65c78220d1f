"""A run under random SIGKILLs of its workers, nodes and drivers, then its rows beside those of no run at all.

Real Ray: several nodes on this machine, reachable by token. Usage: kills.py KILLS IMAGES FOLDER; prints JSON.
"""

import json
import os
import random
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

os.environ |= {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}
sys.path.append(str(Path(__file__).parents[1] / "stand_in"))

import stand_in_run
from ray.cluster_utils import Cluster
from stand_in_generator import photo, stand_in

from pipeline.dataset import Dataset
from pipeline.decode import decoded_image
from pipeline.manifest import manifest_row
from pipeline.schema import ok_row, table_of
from pipeline.validate import validate

DELAY_S = 0.05  # an image
PATIENCE_S = 420.0
NODES = 2
NODE = {"num_cpus": 3, "object_store_memory": 100 << 20}


def expected_rows(folder: Path) -> list[dict[str, object]]:
    """The dataset by the slow and obvious way: one image after the other, in this process."""
    generator = stand_in()(None)
    rows = []
    for path in sorted(folder.iterdir()):
        found = path.stat()
        row = manifest_row(f"file://{path}", found.st_size, f"{found.st_mtime_ns:x}-{found.st_size:x}")
        decoded = decoded_image(path.read_bytes(), 1 << 20)
        rows.append(ok_row(row._asdict(), decoded, generator.generate_masks(decoded.image_HW3)))
    return table_of(rows).to_pylist()


class Campaign:
    """The cluster, the run on it, and who is killed next."""

    def __init__(self, source: Path, output: Path) -> None:
        self.source, self.output = source, output
        self.killed: Counter[str] = Counter()
        self.drivers = 0
        self._random = random.Random(4)
        self._cluster = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
        )
        self._nodes = [self._cluster.add_node(**NODE) for _ in range(NODES)]
        self.driver = self._started_driver()

    def kill_one(self) -> None:
        """One SIGKILL: of a worker 60 %, of a node 20 %, of the driver 20 %."""
        victim = self._random.choices(["worker", "node", "driver"], [60, 20, 20])[0]
        if victim == "driver":
            self.driver.kill()
            self.driver.wait()
        elif victim == "node":
            node = self._nodes.pop(0)
            self._cluster.remove_node(node, allow_graceful=False)
            self._nodes.append(self._cluster.add_node(**NODE))
        else:
            workers = self._workers()
            if not workers:
                return
            os.kill(self._random.choice(workers), signal.SIGKILL)
        self.killed[victim] += 1

    def burst(self) -> int:
        """How many to kill at once."""
        return self._random.randint(1, 5)

    def keep_going(self) -> bool:
        """Whether the dataset is not complete; starts the next driver where the last has ended."""
        if self.driver.poll() is None:
            return True
        if self.driver.returncode == 0:
            return False
        self.driver = self._started_driver()
        return True

    def commits(self) -> int:
        return len(list(self.output.glob("_commits/*.json")))

    def pause(self) -> None:
        """Until the driver has committed something, or ended; then a moment of any length."""
        before, deadline = self.commits(), time.monotonic() + 40
        while self.driver.poll() is None and self.commits() <= before and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(self._random.uniform(0, 1))

    def end(self) -> None:
        self.driver.kill()
        self._cluster.shutdown()

    def _started_driver(self) -> "subprocess.Popen[bytes]":
        self.drivers += 1
        options = {"address": self._cluster.address, "images_per_block": 4}
        return subprocess.Popen(
            [sys.executable, stand_in_run.__file__, self.source, self.output, str(DELAY_S)],
            env={**os.environ, "RUN_OPTIONS": json.dumps(options)},
            stdout=subprocess.DEVNULL,
            stderr=(self.output.with_name("drivers.log")).open("ab"),
            start_new_session=True,
        )

    def _workers(self) -> list[int]:
        """Processes of tasks and actors, on all nodes."""
        found = []
        for node in self._nodes:
            raylet = node.all_processes["raylet"][0].process.pid
            for children in Path(f"/proc/{raylet}/task").glob("*/children"):
                for pid in children.read_text().split():
                    cmdline = Path(f"/proc/{pid}/cmdline")
                    if cmdline.exists() and cmdline.read_bytes().startswith(b"ray::"):
                        found.append(int(pid))
        return found


def main() -> None:
    kills, images, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    source, output = folder / "in", folder / "out"
    source.mkdir(parents=True)
    for number in range(images):
        (source / f"{number:05d}.png").write_bytes(photo(number))
    started = time.monotonic()
    campaign = Campaign(source, output)
    try:
        while campaign.keep_going():
            if campaign.killed.total() < kills:
                campaign.pause()
                for _ in range(min(campaign.burst(), kills - campaign.killed.total())):
                    campaign.kill_one()
            else:
                time.sleep(0.1)
            if time.monotonic() - started > PATIENCE_S + 10 * kills:
                raise TimeoutError(
                    f"not done after {campaign.killed}: {(folder / 'drivers.log').read_text()[-3000:]}"
                )
    finally:
        campaign.end()
    rows = sorted(Dataset.at(str(output)).table().to_pylist(), key=lambda row: row["uri"])
    ids = Counter(row["image_id"] for row in rows)
    figures = {
        "kills": dict(campaign.killed),
        "drivers": campaign.drivers,
        "images": images,
        "lost": images - len(ids),
        "twice": ids.total() - len(ids),
        "same_rows": rows == expected_rows(source),
        "problems": validate(str(output)).problems,
        "seconds": round(time.monotonic() - started),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
