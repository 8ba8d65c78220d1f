"""An outage, then its repair: the run ends with one sentence, and the same command finishes it.

Only the full disk is tested here. `make chaos` tests a store that hangs or is killed, and a cluster that
loses its head, because a run waits for these for up to a minute.
"""

import os

import pytest


@pytest.mark.usefixtures("own_mounts")
def test_what_was_committed_stays_and_the_rest_is_done_later(found_by) -> None:
    assert found_by("outages.py", "--only", "disk", "--images", "40")["faults"] == []


def test_a_machine_that_mounts_nothing_breaks_the_full_disk_alone(found_by) -> None:
    without_unshare = {**os.environ, "PATH": ""}
    (fault,) = found_by("outages.py", "--only", "disk", env=without_unshare)["faults"]
    assert fault.startswith("disk: nothing was filled"), "the other outages are still measured"
