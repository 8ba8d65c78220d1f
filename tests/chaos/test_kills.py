"""A working node is killed: the rows are those of an undisturbed run, none lost, none twice.

`make chaos` kills 200 times. Here a killed driver is in test_two_runs.py, and a labeler that dies in
integration/test_run_local.py.
"""

import pytest


@pytest.mark.timeout(600)  # a busy machine starts Ray's processes slowly
def test_a_killed_node_costs_nothing_but_time(found_by) -> None:
    storm = found_by("kills.py", "--kills", "1", "--only", "node", "--images", "24")
    assert storm["kills"] == {"worker": 0, "node": 1, "driver": 0}
    assert storm["faults"] == []
