"""Keeps torch's ambient state away from SAM: settings that a script makes around a call change no mask.

Autocast, the default device and the grad mode belong to a thread. They are set aside while a call runs and
restored when it ends; a thread that starts meanwhile does not inherit them. The default dtype belongs to the
whole process and must not change under other threads, so the model makes every tensor with an explicit dtype.
Process-wide flags that let float32 products use fewer bits are off while any call runs (full_float32.py). For
lower precision there is the option `precision`.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from sam_core.model.full_float32 import full_float32

AUTOCAST_DEVICES = ("cpu", "cuda", "mps", "xpu")


@contextmanager
def ambient_state_aside() -> Iterator[None]:
    """No gradients, no autocast, full float32, and tensors on the CPU if no device is named.

    Also a decorator.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(full_float32())
        for device_type in AUTOCAST_DEVICES:
            if torch.is_autocast_enabled(device_type):
                stack.enter_context(torch.autocast(device_type, enabled=False))
        # Only if it is not the CPU, because every torch call is slower in this context.
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield
