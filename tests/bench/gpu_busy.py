"""How much of a call's time a GPU works, and in which kernels."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import torch

DEAREST, NAME_LENGTH = 40, 120


def union(intervals: Iterable[tuple[float, float]]) -> float:
    """The total time covered by at least one of the intervals (start, end), which may overlap."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        if end > reached:
            total += end - max(start, reached)
            reached = end
    return total


def busy_share(call: Callable[[], Any]) -> dict[str, Any]:
    """The share of the call's time in which the device works, and the slowest kernels [name, count, ms].

    kernel_share: the kernels' total time over the call's; it exceeds `share` if streams overlap. Copies and
    fills count as kernels.
    """
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]):  # the first profile starts slowly
        torch.zeros(1, device="cuda")
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        start = time.perf_counter()
        call()
        torch.cuda.synchronize()
        elapsed_ms = (time.perf_counter() - start) * 1e3
    kernels = [
        (event.name, event.time_range.start / 1e3, event.time_range.end / 1e3)
        for event in profiled.events() or ()
        if event.device_type.name == "CUDA" and not getattr(event, "is_user_annotation", False)
    ]
    return {
        "share": round(union(each[1:] for each in kernels) / elapsed_ms, 3),
        "kernel_share": round(sum(end - start for _, start, end in kernels) / elapsed_ms, 3),
        "elapsed_ms": round(elapsed_ms, 2),
        "kernels": len(kernels),
        "dearest": dearest(kernels),
    }


def dearest(kernels: Iterable[tuple[str, float, float]]) -> list[tuple[str, int, float]]:
    """Names, counts and milliseconds of the kernels (name, start, end) with the largest total time."""
    counts, ms = Counter[str](), Counter[str]()
    for name, start, end in kernels:
        counts[name] += 1
        ms[name] += end - start  # type: ignore[assignment]
    return [(name[:NAME_LENGTH], counts[name], round(took, 3)) for name, took in ms.most_common(DEAREST)]
