"""How Ray Data handles the results and the errors of a step of the chain."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import ray
import ray.data
from labeler_parts import new_ledger

from pipeline.cluster.quiet import quiet_ray
from pipeline.cluster.supervise import own_error
from pipeline.cluster.worker_log import logged_to
from pipeline.errors import DamagedFile

pytestmark = pytest.mark.usefixtures("one_ray")

RAYS_BLOCK_BYTES = 128 << 20


def test_what_a_step_gives_is_one_block_however_large() -> None:
    def step(_: Any) -> Any:
        return {"row": np.zeros((2 * RAYS_BLOCK_BYTES >> 20, 1 << 20), np.uint8)}

    with quiet_ray():
        assert ray.data.range(1).map_batches(step).materialize().num_blocks() == 1


def test_what_a_step_raises_ends_the_run_as_what_it_is() -> None:
    ledger = new_ledger()

    def step(_: Any, logged: Any) -> Any:
        with logged():
            raise DamagedFile("file:///a.parquet", "no footer")

    with quiet_ray(), pytest.raises(Exception, match="damaged"):
        ray.data.range(1).map_batches(
            step, fn_kwargs={"logged": partial(logged_to, ledger, 20)}
        ).materialize()
    gave_up = ray.get(ledger.tally.remote()).gave_up
    assert isinstance(gave_up, DamagedFile)
    assert str(gave_up) == str(DamagedFile("file:///a.parquet", "no footer"))


def test_a_fault_of_another_kind_keeps_its_own_last_line() -> None:
    def step(_: Any) -> Any:
        raise MemoryError("no room for 7 bytes")

    with quiet_ray(), pytest.raises(Exception, match="no room") as raised:
        ray.data.range(1).map_batches(step).materialize()
    assert str(own_error(raised.value)).startswith("labelling stopped: MemoryError: no room for 7 bytes; run")
