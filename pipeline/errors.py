"""Every error a user can meet, each with the exit code that schedulers act on.

A message is one sentence: what happened, to which input, what to do. `ImageError` never ends a run: it
becomes a failed row.
"""

from enum import StrEnum
from typing import ClassVar


class Reason(StrEnum):
    """The `error` column of a failed row."""

    EMPTY = "EMPTY"  # the file has no bytes
    TRUNCATED = "TRUNCATED"  # an image that ends too early
    CORRUPT = "CORRUPT"  # an allowed format whose bytes are damaged
    NOT_AN_IMAGE = "NOT_AN_IMAGE"  # by content, whatever its name says
    UNSUPPORTED = "UNSUPPORTED"  # an image, perhaps intact, in a format or layout that we do not read
    TOO_LARGE = "TOO_LARGE"  # more pixels than --max-image-pixels, or too many bytes or frames
    OUTSIDE_ROOT = "OUTSIDE_ROOT"  # a link that, since it was listed, leads out of the input folder
    SOURCE_MISSING = "SOURCE_MISSING"  # listed, then gone
    SOURCE_CHANGED = "SOURCE_CHANGED"  # its ETag is no longer the manifest's
    SOURCE_UNAVAILABLE = "SOURCE_UNAVAILABLE"  # the store still failed after the last retry
    FORBIDDEN = "FORBIDDEN"  # the store or the disk refuses to let us read it
    DECODE_TIMEOUT = "DECODE_TIMEOUT"  # the decoder hung
    WORKER_CRASH = "WORKER_CRASH"  # killed its worker on every attempt
    GPU_OOM = "GPU_OOM"  # out of memory even at one prompt a batch
    LABELER_ERROR = "LABELER_ERROR"  # the mask generator raised
    UNKNOWN = "UNKNOWN"  # a bug in sam-label: please report it


GO_ON = "run the same command again to continue from the committed images"


class SamLabelError(Exception):
    """A fault that ends the command: the message is all the user needs."""

    exit_code: ClassVar[int] = 1


class UsageError(SamLabelError):
    """The command cannot mean what it says; nothing was started."""

    exit_code = 2


class TooManyFailures(SamLabelError):
    """Too many images failed (--max-failures), or most of them for one cause; what is done is committed."""

    exit_code = 3


class DatasetInvalid(SamLabelError):
    """The dataset is not consistent."""

    exit_code = 4


class DamagedFile(DatasetInvalid):
    """A file of the dataset is not what was written there."""

    def __init__(self, uri: str, why: str) -> None:
        super().__init__(
            f"{uri} is damaged ({' '.join(why.split())}); restore it from a copy, or start over with "
            "--overwrite"
        )
        self.uri, self.why = uri, why

    def __reduce__(self) -> tuple[type["DamagedFile"], tuple[str, str]]:
        return type(self), (self.uri, self.why)  # pickled by a Ray worker for the driver


class OutputLocked(SamLabelError):
    """Another run holds the output."""

    exit_code = 5


class ClusterLost(SamLabelError):
    """The cluster has lost its head node: no call of Ray returns, not even `ray.shutdown`."""


class Interrupted(SamLabelError):
    """Ended by Ctrl-C or SIGTERM; what is done is committed, and the same command goes on."""

    exit_code = 130


class StoreError(SamLabelError):
    """A disk or an object store failed permanently; `reason` goes into the image's failed row."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type["StoreError"], tuple[Reason, str]]:
        return type(self), (self.reason, str(self))  # pickled by a Ray worker for the driver


class ImageError(Exception):
    """A permanent fault of one image: it becomes a failed row, and the other images are labelled."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type["ImageError"], tuple[Reason, str]]:
        return type(self), (self.reason, str(self))


def last_line(text: str) -> str:
    """The last line of an error's message: Ray and some packages put whole tracebacks or pages before it."""
    return text.strip().rpartition("\n")[2]
