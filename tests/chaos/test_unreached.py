"""Labelers on a node that does not reach input and output: the driver's machine reads and writes for it.

`make chaos` also closes the store to the node, which costs 45 s of tries for each task.
"""

import pytest


@pytest.mark.timeout(600)  # a busy machine starts Ray's processes slowly
def test_a_node_with_the_wrong_key_of_the_store_fails_no_image(found_by) -> None:
    assert found_by("unreached.py", "--only", "refused", "--images", "24")["faults"] == []


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("own_mounts")
def test_a_node_without_the_shared_folder_fails_no_image_and_writes_into_no_other(found_by) -> None:
    assert found_by("unreached.py", "--only", "unmounted", "--images", "24")["faults"] == []
