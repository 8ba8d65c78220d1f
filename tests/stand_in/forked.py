"""Calls a function in a forked process, as a DataLoader's worker is."""

from collections.abc import Callable
from multiprocessing import get_context


def ends_well_when_forked(call: Callable[[], object], within_s: float = 60) -> bool:
    """Whether the call returns something true in a forked process, in that time."""
    process = get_context("fork").Process(target=_call, args=(call,))
    process.start()
    process.join(within_s)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode == 0


def _call(call: Callable[[], object]) -> None:
    if not call():
        raise SystemExit(1)
