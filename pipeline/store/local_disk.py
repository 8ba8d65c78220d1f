"""Reports a full local disk, which holds what does not fit into memory: listings, ids, standard input."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import SamLabelError


@contextmanager
def local_disk(fails: str) -> Iterator[None]:
    """Raises SamLabelError for a fault of the disk in the block; `fails` says what cannot be done then."""
    try:
        yield
    except OSError as fault:
        raise SamLabelError(
            f"{fails} in {tempfile.gettempdir()}: {fault.strerror}; set TMPDIR to a folder on a disk with "
            "room"
        ) from fault
