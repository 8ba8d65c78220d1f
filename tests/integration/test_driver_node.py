"""Work that a store refuses to a node is done on the driver's node, by a worker that the ledger starts.

Here one machine is both: the test's process stands for the node that does not reach the store.
"""

import logging
import os
import re
import signal
import sys
import time
from functools import partial
from typing import Any

import pytest
import ray
from labeler_parts import new_ledger
from ray import cloudpickle

from pipeline.cluster.driver_node import ANOTHER_FOLDER, DriverNode
from pipeline.errors import DamagedFile, ImageError, OutputLocked, Reason, SamLabelError, StoreError
from pipeline.labelling.fetch import _missed
from pipeline.store.objects import Got

pytestmark = pytest.mark.usefixtures("one_ray")
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the worker cannot import it
UNAVAILABLE, FORBIDDEN = Reason.SOURCE_UNAVAILABLE, Reason.FORBIDDEN


@pytest.fixture
def driver_node() -> DriverNode:
    """As another node sees it."""
    return DriverNode(new_ledger(), "another", logging.INFO)


def refused_in(pid: int, fault: SamLabelError) -> int:
    """This process's pid; raises the fault in the process with the pid."""
    if os.getpid() == pid:
        raise fault
    logging.getLogger("sam_label.store").warning("slow")
    return os.getpid()


def log_of(node: DriverNode, lines: int) -> list[str]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        log = ray.get(node.ledger.tally.remote()).log
        if len(log) >= lines:
            return [line.text for line in log]
    pytest.fail(f"fewer lines than {lines}: {log}")


@pytest.mark.parametrize(
    ("fault", "why"),
    [(StoreError(FORBIDDEN, "no key; check it"), "no key"), (OutputLocked("overtaken"), ANOTHER_FOLDER)],
)
def test_what_a_node_cannot_do_is_done_there_and_said_once(
    driver_node: DriverNode, fault: SamLabelError, why: str
) -> None:
    work = partial(refused_in, os.getpid(), fault)
    assert len({driver_node.done_here_or_there(work) for _ in range(2)}) == 1, "one worker does both"
    said, *slow = sorted(log_of(driver_node, 3))  # they come in any order
    assert slow == ["slow", "slow"], "what the worker logs"
    assert f": {why}; the driver's machine does that work" in said


@pytest.mark.parametrize(
    "fault", [StoreError(UNAVAILABLE, "down"), OutputLocked("overtaken"), DamagedFile("file:///a", "cut")]
)
def test_a_fault_of_the_drivers_node_is_the_one_that_counts(
    driver_node: DriverNode, fault: SamLabelError
) -> None:
    def work(pid: int) -> int:
        raise StoreError(FORBIDDEN, "no key") if os.getpid() == pid else fault

    with pytest.raises(type(fault), match=re.escape(str(fault))):
        driver_node.done_here_or_there(partial(work, os.getpid()))


def test_a_fault_that_is_of_no_node_stays_here(driver_node: DriverNode) -> None:
    with pytest.raises(StoreError, match="changed"):
        driver_node.done_here_or_there(
            partial(refused_in, os.getpid(), StoreError(Reason.SOURCE_CHANGED, "changed"))
        )


def test_work_that_kills_its_worker_is_not_repeated_for_ever(driver_node: DriverNode) -> None:
    with pytest.raises(SamLabelError, match=r"died again and again .* run the same command again"):
        driver_node.done(lambda: os.kill(os.getpid(), signal.SIGKILL))
    assert driver_node.done(os.getpid) != os.getpid()


IMAGE = Got(b"bytes", "etag")
MISSING, LARGE = ImageError(Reason.SOURCE_MISSING, "gone"), ImageError(Reason.TOO_LARGE, "large")
S3, HTTPS = "s3://bucket/a.jpg", "https://host/a.jpg"


@pytest.mark.parametrize(
    ("images", "missed"),
    [
        ([], []),
        ([(S3, MISSING), (S3, MISSING)], [0, 1]),
        ([(S3, MISSING), (S3, IMAGE)], []),
        ([(S3, MISSING), (S3, None)], []),
        ([(S3, LARGE), (S3, MISSING)], [1]),
        ([(HTTPS, IMAGE), (S3, MISSING)], [1]),
        ([(HTTPS, MISSING)], []),
        ([(S3, LARGE)], []),
    ],
)
def test_images_are_asked_for_there_if_none_was_reached(images: list[Any], missed: list[int]) -> None:
    assert _missed([{"uri": uri} for uri, _ in images], [result for _, result in images]) == missed
