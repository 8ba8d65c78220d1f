"""Whether the memory of a whole run over many images stays flat, with the stand-in for the model.

Prints the memory of all the run's processes at each tenth of the run (shared pages are counted once, Ray's
object store is included), and one line of JSON. Usage: bench_memory.py [IMAGES] [PHOTOS]
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "stand_in"))

from processes import descendants

ROOT = Path(__file__).parents[2]
STAND_IN_RUN = ROOT / "tests" / "stand_in" / "stand_in_run.py"


def memory_mb(root_pid: int) -> float:
    """Proportional resident memory of a process and all processes below it, in MB."""
    total_kb = 0
    for pid in [root_pid, *descendants([root_pid])]:
        with suppress(OSError):  # it ended meanwhile
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total_kb += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total_kb / 1024


def rows_committed(output: Path) -> int:
    return sum(json.loads(path.read_text())["rows"] for path in output.glob("_commits/*.json"))


def main() -> None:
    images = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    photos = sorted(
        Path(sys.argv[2] if len(sys.argv) > 2 else ROOT / "jobs" / "demo" / "photos").glob("*.jpg")
    )
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder) / "in", Path(folder) / "out"
        source.mkdir()
        for number in range(images):
            shutil.copyfile(photos[number % len(photos)], source / f"{number:06d}.jpg")
        command = [sys.executable, STAND_IN_RUN, source, output, "0"]
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "RUN_OPTIONS": "{}"})
        samples: dict[int, float] = {}
        peak_mb = 0.0
        while run.poll() is None:
            time.sleep(1)
            now_mb = memory_mb(run.pid)
            peak_mb = max(peak_mb, now_mb)
            tenth = 10 * rows_committed(output) // images
            if tenth not in samples:
                samples[tenth] = now_mb
                print(f"{10 * tenth:3d} % committed: {now_mb:7.0f} MB")
        rows = rows_committed(output)
    print(json.dumps({"images": images, "rows": rows, "peak_mb": round(peak_mb), "by_tenth_mb": samples}))


if __name__ == "__main__":
    main()
