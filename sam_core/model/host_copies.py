"""Copies arrays to the device without waiting for it, and marks the end of what is queued there.

CUDA copies from ordinary memory only after all queued work has ended; a copy from pinned memory is queued
too.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch


def on_device(array: npt.NDArray[Any], device: torch.device) -> torch.Tensor:
    """The array as a tensor on the device; on a CPU it may share the array's memory."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def event_after(device: torch.device) -> torch.cuda.Event | None:
    """An event after all work that this thread has queued so far; None if the device has no events."""
    return torch.cuda.current_stream(device).record_event() if device.type == "cuda" else None
