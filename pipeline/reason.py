"""Why an image has no masks: the closed list that readers and `sam-label retry --error` share.

It stands alone, free of Arrow, so that the command line can name the codes without loading anything.
"""

from enum import StrEnum


class Reason(StrEnum):
    """The `error` column of a failed row."""

    EMPTY = "EMPTY"  # the file has no bytes
    TRUNCATED = "TRUNCATED"  # an image that ends too early
    CORRUPT = "CORRUPT"  # an allowed format whose data cannot be decoded
    NOT_AN_IMAGE = "NOT_AN_IMAGE"  # by content, whatever its name says
    UNSUPPORTED = "UNSUPPORTED"  # an image in a format off the allow-list
    TOO_LARGE = "TOO_LARGE"  # more pixels than --max-image-pixels, by its header
    TOO_SMALL = "TOO_SMALL"  # too few pixels to label
    OUTSIDE_ROOT = "OUTSIDE_ROOT"  # a link that leaves the input folder
    SOURCE_MISSING = "SOURCE_MISSING"  # listed, then gone
    SOURCE_CHANGED = "SOURCE_CHANGED"  # its ETag is no longer the manifest's
    SOURCE_UNAVAILABLE = "SOURCE_UNAVAILABLE"  # the store still failed after every retry
    FORBIDDEN = "FORBIDDEN"  # the store or the disk refuses to let us read it
    DECODE_TIMEOUT = "DECODE_TIMEOUT"  # the decoder hung
    WORKER_CRASH = "WORKER_CRASH"  # killed its worker on every attempt
    GPU_OOM = "GPU_OOM"  # out of memory even at one prompt a batch
    LABELER_ERROR = "LABELER_ERROR"  # the mask generator raised
    UNKNOWN = "UNKNOWN"  # a bug in sam-label: please report it
