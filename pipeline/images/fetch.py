"""Manifest rows to encoded bytes, or to the reason why they cannot be had.

Bytes stay encoded until a labeler wants them: a photo is a twentieth of its pixels, and the object store
holds only what is on its way. The waiting is done by threads; transient faults are tried again inside
`Store`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import ImageError, Reason, StoreError
from pipeline.store.storage import Store

# A file is not fetched where it has more bytes than an image within the pixel limit needs uncompressed, as
# 16-bit RGBA; but further pages and frames cost no pixels of the first, so that 256 MB are always fetched.
MOST_BYTES_A_PIXEL = 8
ALWAYS_FETCHED_BYTES = 256 << 20


def image_bytes(row: Mapping[str, Any], root: str | None, max_pixels: int) -> bytes:
    """The bytes of the image that a manifest row names, as they were when it was listed.

    Raises: ImageError with OUTSIDE_ROOT, TOO_LARGE, SOURCE_MISSING, SOURCE_CHANGED, FORBIDDEN or
        SOURCE_UNAVAILABLE.
    """
    if root is not None:
        _refuse_outside(Path(row["uri"].removeprefix("file://")), Path(root))
    most_bytes = max(MOST_BYTES_A_PIXEL * max_pixels, ALWAYS_FETCHED_BYTES)
    if row["size"] > most_bytes:
        raise ImageError(
            Reason.TOO_LARGE, f"{row['size']} bytes are more than an image of {max_pixels} pixels needs"
        )
    store, name = Store.of_uri(row["uri"])
    try:
        got = store.get(name)
    except StoreError as fault:
        raise ImageError(fault.reason, str(fault)) from fault
    if got.etag != row["etag"]:
        raise ImageError(
            Reason.SOURCE_CHANGED,
            f"its etag is {got.etag} and was {row['etag']} when it was listed; run again with --refresh",
        )
    return got.data


def _refuse_outside(path: Path, root: Path) -> None:
    # realpath goes on past a link that leads in a circle, where Path.resolve of Python 3.11 raises
    target = Path(os.path.realpath(path))
    if not target.is_relative_to(os.path.realpath(root)):
        raise ImageError(Reason.OUTSIDE_ROOT, f"it leads to {target}, outside the input {root}")
