"""Runs cases one after another in a child process; if it dies or hangs, only one case is lost.

A child prints a line for each case that it finishes, in the given order. If it ends too early, or a case
takes too long, that case has failed, and another child starts with the next case.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

MARK = "= "  # begins a child's line with a result, because libraries print lines too
LAST_LINES = 12
ENDS_WITHIN_S = 15.0  # after a child's last result


@dataclass(frozen=True)
class Fault:
    """Why a case has no result."""

    why: str
    last_lines: str  # the last lines of the child's standard error


Took = Callable[[str, Any], None]


def answered(case: str, answer: Any) -> None:
    """In a child: passes a result to the parent process."""
    print(MARK + json.dumps([case, answer], default=float), flush=True)


def run_cases(
    command: Sequence[str],
    cases: Mapping[str, float],
    took: Took,
    deadline: float = float("inf"),
    said: Callable[[str], None] = lambda _: None,
) -> None:
    """Runs the command with the cases added to its arguments, until each case has a result or a Fault.

    cases: the seconds that each may take, including the start of a child; `took` gets each result or Fault.
    deadline: by time.monotonic(); after it no case continues. said: gets each line of the standard errors.
    """
    left = dict(cases)
    while left:
        if time.monotonic() >= deadline:
            for case in left:
                took(case, Fault("not begun: the time for everything had passed", ""))
            return
        _run_child(command, left, took, deadline, said)


def _run_child(
    command: Sequence[str], left: dict[str, float], took: Took, deadline: float, said: Callable[[str], None]
) -> None:
    """Runs one child; removes from `left` the cases with a result and the case that failed."""
    child = subprocess.Popen(
        [*command, *left],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    last_lines, answers = deque[str](maxlen=LAST_LINES), queue.SimpleQueue[str | None]()
    assert child.stdout is not None
    assert child.stderr is not None
    readers = [
        threading.Thread(target=_read, args=(child.stdout, answers), daemon=True),
        threading.Thread(target=_keep, args=(child.stderr, last_lines, said), daemon=True),
    ]
    try:
        for reader in readers:
            reader.start()
        while left:
            case, most_s = next(iter(left.items()))
            most_s = max(0.0, min(most_s, deadline - time.monotonic()))
            try:
                line = answers.get(timeout=most_s)
                why = "" if line else f"its process ended with {child.wait(ENDS_WITHIN_S)}"
            except queue.Empty:
                line, why = None, f"no answer within {most_s:.0f} s"
            except subprocess.TimeoutExpired:
                line, why = None, "its process closed its output and went on"
            del left[case]
            if line is None:
                readers[1].join(1.0)  # its last lines
                took(case, Fault(why, "\n".join(last_lines)))
                return
            took(case, json.loads(line)[1])
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(ENDS_WITHIN_S)
    finally:
        # the child with all processes that it has started
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _read(stream: IO[str], answers: "queue.SimpleQueue[str | None]") -> None:
    """Queues the results of a child, then None; prints its other lines."""
    for line in stream:
        if line.startswith(MARK):
            answers.put(line.removeprefix(MARK))
        else:
            print(line, end="", flush=True)
    answers.put(None)


def _keep(stream: IO[str], last_lines: "deque[str]", said: Callable[[str], None]) -> None:
    for line in stream:
        if line.strip(" ^~\n"):  # not a line that only underlines the line above
            last_lines.append(line.rstrip())
        said(line.rstrip())
        print(line, end="", file=sys.stderr, flush=True)
