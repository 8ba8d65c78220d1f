"""The kernels for GPUs compile for an H100, without one at hand.

In a process of their own, since other tests run Triton interpreted, and in one, since it takes seconds to
import torch and Triton.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# those that compile quickly
DECODER = ("first_look", "positions0", "upscale")
PROGRAMS = {
    HERE / "decoding" / "triton_kernels" / "compile_decoder.py": ["90", *DECODER],
    HERE / "decoding" / "triton_kernels" / "compile_measures.py": ["quick"],
    HERE / "model" / "triton_kernels" / "compile_encoder.py": ["quick", "90"],
}
RUN_ALL = """
import json, runpy, sys
for path, arguments in json.loads(sys.argv[1]).items():
    sys.argv = [path, *arguments]
    runpy.run_path(path, run_name="__main__")
    print("end of a program")
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """The lines that each program prints."""
    environment = {**os.environ, "TRITON_INTERPRET": "0", "PYTHONPATH": str(HERE.parents[2])}
    environment["TRITON_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    programs = json.dumps({str(path): arguments for path, arguments in PROGRAMS.items()})
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL, programs],
        env=environment,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    *parts, rest = done.stdout.split("end of a program\n")
    assert not rest
    return [part.splitlines() for part in parts]


def test_the_decoders_kernels(said: list[list[str]]) -> None:
    lines, _, _ = said
    assert [line.split(":")[0] for line in lines] == [f"{name} sm_90" for name in DECODER]
    # what a block may have on an H100
    assert all(int(line.rsplit(" ", 1)[1]) <= 227 * 1024 for line in lines)


def test_the_kernels_of_measures_selection_and_edges(said: list[list[str]]) -> None:
    _, [line], _ = said
    kernels = json.loads(line)
    assert len(kernels) == 4
    assert all(kernel["shared"] < 48 * 1024 for kernel in kernels)


def test_the_encoders_kernels(said: list[list[str]]) -> None:
    _, _, lines = said
    assert len(lines) == 10
    assert all("spills 0 " in line for line in lines)
