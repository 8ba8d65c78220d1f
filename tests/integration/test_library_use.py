"""`run` leaves the calling program's state unchanged, also when the run failed and left a call behind.

Each run starts a Ray with its own token.
"""

import os
import subprocess
import sys
from pathlib import Path

from stand_in_generator import photo

PROGRAM = """
import logging, os, signal, sys, threading
import ray
from ray._private import auto_init_hook
from ray.data import DataContext
from stand_in_generator import stand_in
from pipeline.config import RunConfig
from pipeline.errors import SamLabelError
from pipeline.run import run
from pipeline.shutdown import in_the_time_left, is_ending

def state():
    return {
        "levels": {name: logging.getLogger(name).level for name in LOGGERS},
        "handlers": {name: logging.getLogger(name).handlers[:] for name in LOGGERS},
        "environment": dict(os.environ),
        "data": dict(vars(DataContext.get_current())),
        "streams": (sys.stdout, sys.stderr),
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "folder": os.getcwd(),
        "path": sys.path[:],
        "connects": auto_init_hook.enable_auto_connect,
        "ends": is_ending(),
    }

def noted(load):
    def noting(settings):
        with open(TOKENS, "a") as tokens:
            tokens.write(os.environ["RAY_AUTH_TOKEN"] + "\\n")
        return load(settings)

    return noting

def refuse(settings):
    raise SamLabelError("this machine has other weights")

LOGGERS = ["", "ray", "ray.data", "ray.serve", "ray.tune", "sam_label", "sam_core", "pipeline"]
TOKENS = sys.argv[3]
config = RunConfig(input=sys.argv[1], output=sys.argv[2], workers=1)
before, hang = state(), threading.Event()
for load in (refuse, stand_in()):
    try:
        print(run(config, load=noted(load)).labelled)
    except SamLabelError as error:
        print(error)
        in_the_time_left(hang.wait, 0.01)
    for name, value in state().items():
        assert value == before[name], (name, before[name], value)
    assert not ray.is_initialized()
hang.set()
"""


def test_two_runs_in_one_process_leave_it_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(3):
        (tmp_path / "in" / f"{number}.png").write_bytes(photo(number))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *(tmp_path / name for name in ("in", "out", "tokens"))],
        env={**inherited, "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[1] / "stand_in")},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["this machine has other weights", "3"]
    assert len(set((tmp_path / "tokens").read_text().split())) == 2
    assert not (tmp_path / ".ray").exists(), "no token was written for others to find"
