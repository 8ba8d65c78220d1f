"""What an exception in a labeler becomes: a failed row, or the end of its process."""

import logging
import os
from typing import NoReturn

import ray

from pipeline.cluster.attempts import LedgerHandle
from pipeline.errors import ImageError, Reason, SamLabelError

_log = logging.getLogger("sam_label.images")


def labeler_fault(fault: Exception) -> ImageError:
    """The failed row that an exception of the mask generator becomes.

    An error that leaves the CUDA context broken ends the process instead, so that Ray starts a new one. The
    ledger has counted the attempt. A SamLabelError is no image's fault, and is raised.
    """
    if isinstance(fault, SamLabelError):
        raise fault
    if isinstance(fault, ImageError):  # raised for a window of a scene
        return fault
    text = describe(fault)
    # The generator has halved its batches down to one prompt before it raised this.
    if "out of memory" in text and "CUDA" in text:
        return ImageError(Reason.GPU_OOM, text)
    if "CUDA error" in text:
        die()
    return ImageError(Reason.LABELER_ERROR, text)


def describe(fault: BaseException) -> str:
    """The fault in one line, its type first."""
    return f"{type(fault).__name__}: {fault}".strip().replace("\n", " ")


def die_with_warning(ledger: LedgerHandle, why: str) -> NoReturn:
    """Ends this process once the ledger has the warning; Ray restarts it here or elsewhere."""
    _log.warning("%s; the labeler is restarted", why)
    ray.get(ledger.is_stopping.remote())  # which the ledger answers after it has the warning
    die()


def die() -> NoReturn:
    """Ends this process at once."""
    os._exit(1)  # not sys.exit: Ray would keep the dead actor in its slot
