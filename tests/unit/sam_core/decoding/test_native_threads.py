"""The kernel's threads, also when the system starts no more of them."""

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from sam_core.decoding.native.threads import run_in_threads

# Because of stacks of 1 GiB the system refuses the first thread, then the second.
SHORT_OF_ADDRESS_SPACE = """
import logging, resource, threading
from pathlib import Path
import torch
from sam_core.decoding.native.threads import run_in_threads
GIB = 2**30
torch.set_num_threads(4)
threading.stack_size(GIB)
refusal = threading.Event()
warnings = logging.StreamHandler()
warnings.addFilter(lambda record: refusal.set() or True)
logging.getLogger("sam_core").addHandler(warnings)

def work():
    refusal.wait(60)  # so that the first thread is still at work when the second is refused
    done.extend(turns)

for spare in (0.6, 1.6):
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + int(spare * GIB), resource.RLIM_INFINITY))
    turns, done = iter(range(20)), []
    try:
        run_in_threads(work, 4)
    except RuntimeError as refused:
        print(refused)
    print(len(done), torch.get_num_threads())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to RLIMIT_AS")
def test_the_threads_that_start_do_the_work_of_those_that_do_not() -> None:
    command = [sys.executable, "-c", SHORT_OF_ADDRESS_SPACE]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    refused, *counts = answer.stdout.splitlines()
    assert refused.startswith("no thread can be started to decode masks; raise the limit")
    assert counts == ["0 4", "20 4"]
    assert "decoding with 1 threads instead of 4: can't start new thread" in answer.stderr


def test_a_fault_in_one_thread_ends_the_call_and_leaves_torchs_threads_as_they_were() -> None:
    usual = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        faults = iter([ValueError("the second turn")])

        def work() -> None:
            if fault := next(faults, None):
                raise fault

        with pytest.raises(ValueError, match="the second turn"):
            run_in_threads(work, 3)
        assert torch.get_num_threads() == 3
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == 3
    finally:
        torch.set_num_threads(usual)


def test_each_thread_has_torch_on_one_thread() -> None:
    counts, all_are_here = [], threading.Barrier(3)

    def work() -> None:
        all_are_here.wait(60)  # so that no thread does the work of two
        counts.append(torch.get_num_threads())

    usual = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        for _ in range(20):
            run_in_threads(work, 3)
    finally:
        torch.set_num_threads(usual)
    assert set(counts) == {1}


def test_threads_that_begin_meanwhile_keep_torchs_count() -> None:
    seen: list[int] = []

    def request(work: Callable[[], object]) -> None:
        run_in_threads(lambda: work() and None, 3)
        seen.append(torch.get_num_threads())

    def requests(work: Callable[[], object]) -> None:
        threads = [threading.Thread(target=request, args=(work,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    usual = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        all_are_here = threading.Barrier(4 * 3)
        requests(lambda: all_are_here.wait(60))  # the threads of four callers start here
        seen.clear()
        for _ in range(50):
            requests(lambda: None)
    finally:
        torch.set_num_threads(usual)
    assert seen == [3] * 200


def test_callers_at_once_have_threads_of_their_own() -> None:
    all_are_here = threading.Barrier(4)

    def request() -> None:
        run_in_threads(lambda: all_are_here.wait(60), 2)

    requests = [threading.Thread(target=request) for _ in range(2)]
    for thread in requests:
        thread.start()
    for thread in requests:
        thread.join()
    assert all_are_here.n_waiting == 0
    run_in_threads(lambda: run_in_threads(lambda: None, 2), 2)


EXIT_DURING_A_CALL = """
import threading, torch
from sam_core.decoding.native.threads import run_in_threads
has_begun = threading.Event()

def work():
    has_begun.set()
    for _ in range(30):
        torch.ones(700, 700) @ torch.ones(700, 700)

threading.Thread(target=lambda: run_in_threads(work, 2), daemon=True).start()
has_begun.wait()
"""


def test_a_process_may_end_during_a_call() -> None:
    done = subprocess.run(
        [sys.executable, "-c", EXIT_DURING_A_CALL], capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, done.stderr) == (0, "")
