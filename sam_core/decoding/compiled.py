"""Functions that torch compiles for one shape, on request: a long first image for fewer passes over memory.

A function is compiled once a process. Torch keeps the result on disk (in TORCHINDUCTOR_CACHE_DIR), from where
the next process only loads it. No CUDA graphs: torch ties them to one thread, and crops run in several here.
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
    """The function, compiled at its first call for the shapes of that call; the log says how long it took."""
    compiled_call = torch.compile(call, backend=BACKEND, fullgraph=True, dynamic=False)
    is_compiled = False

    @wraps(call)
    def timed(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        nonlocal is_compiled
        start = time.monotonic()
        answer = compiled_call(*args, **kwargs)
        if not is_compiled:
            is_compiled = True
            log.info("compiled %s in %.1f s", call.__name__, time.monotonic() - start)
        return answer

    return timed
