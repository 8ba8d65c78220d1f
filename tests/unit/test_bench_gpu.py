"""The parts of tests/bench/bench_gpu.py: processes that may die or hang, intervals, and its table."""

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[1] / "bench"))

from gpu_busy import dearest, union
from gpu_process import Fault, run_cases
from gpu_table import table

CHILD = """
import os, sys, time
sys.path.append({bench!r})
from gpu_process import answered
for case in sys.argv[1:]:
    if case == "raises":
        raise RuntimeError("an illegal access")
    if case == "dies":
        os.abort()
    if case == "hangs":
        time.sleep(1000)
    if case == "prints":
        print("a library's line")
    answered(case, os.getpid())
"""


def answers_of(cases: dict[str, float], **named: Any) -> dict[str, Any]:
    code = CHILD.format(bench=str(Path(__file__).parents[1] / "bench"))
    found = dict[str, Any]()
    run_cases([sys.executable, "-c", code], cases, found.__setitem__, **named)
    return found


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_one_process_answers_all_that_go_well() -> None:
    found = answers_of({"a": 60, "prints": 60, "b": 60})
    assert list(found) == ["a", "prints", "b"]
    assert len({*found.values()}) == 1
    assert not is_alive(found["a"])


@pytest.mark.parametrize(
    ("failing", "why", "last_line"),
    [
        ("raises", "its process ended with 1", "RuntimeError: an illegal access"),
        ("dies", "its process ended with -6", ""),
        ("hangs", "no answer within 3 s", ""),
    ],
)
def test_a_case_that_fails_costs_no_other(failing: str, why: str, last_line: str) -> None:
    said = list[str]()
    found = answers_of({"a": 60, failing: 3 if failing == "hangs" else 60, "b": 60}, said=said.append)
    fault = found[failing]
    assert list(found) == ["a", failing, "b"]
    assert isinstance(fault, Fault)
    assert fault.why == why
    assert last_line in fault.last_lines
    assert last_line in "\n".join(said)
    assert found["a"] != found["b"]
    assert not is_alive(found["a"])


def test_nothing_is_begun_after_the_deadline() -> None:
    found = answers_of({"a": 60, "b": 60}, deadline=time.monotonic())
    assert [fault.why[:9] for fault in found.values()] == ["not begun"] * 2


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        ([], 0),
        ([(1, 3)], 2),
        ([(1, 3), (2, 5)], 4),
        ([(5, 6), (1, 4), (2, 3)], 4),
        ([(1, 2), (2, 3), (3, 3)], 2),
    ],
)
def test_union(intervals: list[tuple[float, float]], expected: float) -> None:
    assert union(intervals) == expected


def test_dearest_names_do_not_hide_each_other() -> None:
    long = "x" * 200
    found = dearest([(long + "a", 0, 1), (long + "b", 0, 3), (long + "b", 4, 5), ("c", 0, 2)])
    assert found == [("x" * 120, 2, 4), ("c", 1, 2), ("x" * 120, 1, 1)]


def test_the_table_says_what_holds() -> None:
    recorded = {"ours": 173, "recorded": 175, "matched": 165, "predicted_iou_off": 0.001}
    beside = {
        "exact": 100, "lossy": 100, "matched_share": 0.99, "largest_count_difference": 0.06,
        "largest_score_difference": 0.003,
    }  # fmt: skip
    fault = {"fault": "its process ended with 1", "last_lines": "RuntimeError: CUDA error"}
    lines = "\n".join(
        table(
            {
                "said": ["a warning"],
                "parity": {"recorded float16": recorded, "beside_float32 float16": beside},
                "first": {"empty float16": 12.5, "full float16": fault},
                "model vit_h": {
                    "rate float32 sa1b": fault,
                    "rate float16 sa1b": {"images_a_second": 40.0, "peak_gb": 6.0},
                    "stages float16 sa1b": {"one batch drawn": 12.0, "host queue": 2.0},
                    "busy float16 sa1b": {"share": 0.957},
                },
                "original vit_h": {"rate 3": {"images_a_second": 1.0}},
                "sweep look": {"timed tile=32": {"ms": 2.0}, "timed tile=64": {"ms": 1.0}, "timed x": fault},
            }
        )
    )
    expected = """
parity, recorded float16: of 175 masks
    matched at IoU 0.99: 94.3%, asked 98%: DOES NOT HOLD
    number of masks off by 1.1%, asked 2%: holds
    predicted IoU off by 0.0010, asked 0.002: holds
parity, beside_float32 float16: of 100 masks
    matched at IoU 0.99: 99.0%, asked 98%: holds
    number of masks off by 0.0%, asked 2%: holds
    in one image by 6.0%, asked 5%: DOES NOT HOLD
    predicted IoU off by 0.0030, asked 0.002: DOES NOT HOLD
first masks, empty cache, float16: 12.5 s, asked 15: holds
first masks, full cache, float16: failed
model  size  precision  images/s  asked        peak GB  busy   original  times
vit_h  sa1b  float32    failed                                 1.00
vit_h  sa1b  float16    40.00     38, then 48  6.00     95.7%  1.00      40.0
model vit_h, stages float16 sa1b: one batch drawn 12.0, host queue 2.0
sweep look, timed tile=64: ms 1.0
sweep look, timed tile=32: ms 2.0
FAILED: first, full float16: its process ended with 1
    RuntimeError: CUDA error
FAILED: model vit_h, rate float32 sa1b: its process ended with 1
    RuntimeError: CUDA error
FAILED: sweep look, timed x: its process ended with 1
    RuntimeError: CUDA error"""
    assert lines == expected.strip()
