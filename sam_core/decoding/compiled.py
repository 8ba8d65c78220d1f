"""Functions compiled by torch for one shape, on demand: a long first image for fewer passes over memory.

A function is compiled once a process; what comes of it torch keeps on disk, so that the next process only
loads it (TORCHINDUCTOR_CACHE_DIR says where). No CUDA graphs: torch ties them to one thread, and crops here
run in several.
"""

import logging
import time
from collections.abc import Callable
from functools import cache, wraps
from typing import ParamSpec, TypeVar

import torch

log = logging.getLogger(__name__)

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")

BACKEND = "inductor"


@cache
def compiled(call: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
    """The function, compiled at its first call for the shapes it gets there; says how long that took."""
    compiled_call = torch.compile(call, backend=BACKEND, fullgraph=True, dynamic=False)
    was_called = False

    @wraps(call)
    def timed(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        nonlocal was_called
        start = time.monotonic()
        answer = compiled_call(*args, **kwargs)
        if not was_called:
            was_called = True
            log.info("compiled %s in %.1f s", call.__name__, time.monotonic() - start)
        return answer

    return timed
