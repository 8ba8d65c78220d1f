"""Torch's ambient state kept away from SAM: what a script has switched on around a call changes no mask.

Autocast, the default device and the grad mode belong to a thread. They are put aside while a call runs and
are as before when it ends; a thread that starts meanwhile has none of them. The default dtype belongs to the
whole process and must not change under other threads, so that every tensor of the model is made with a dtype
of its own. Flags of the process that take float32 products with fewer bits are off while any call runs
(full_float32.py). Lower precision is asked for by name, with the option `precision`.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from sam_core.model.full_float32 import full_float32

AUTOCAST_DEVICES = ("cpu", "cuda", "mps", "xpu")


@contextmanager
def ambient_state_aside() -> Iterator[None]:
    """No gradients, no autocast, float32 in full, and tensors on the CPU if no device is named.

    Also a decorator.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(full_float32())
        for device_type in AUTOCAST_DEVICES:
            if torch.is_autocast_enabled(device_type):
                stack.enter_context(torch.autocast(device_type, enabled=False))
        # Only if it is another one, because every call of torch is slower in this context.
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield
