"""Manifest rows to encoded bytes, or to the reason why they cannot be had.

Bytes stay encoded until a labeler wants them: a photo is a twentieth of its pixels, and the object store
holds only what is on its way. The waiting is done by threads; transient faults are tried again inside
`Store`.
"""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray

from pipeline.cluster.attempts import LedgerHandle
from pipeline.errors import ImageError, StoreError
from pipeline.output.format.manifest import MANIFEST_SCHEMA
from pipeline.reason import Reason
from pipeline.store.storage import Store

FETCHED_SCHEMA = pa.schema(
    [
        *MANIFEST_SCHEMA,
        pa.field(
            "data", pa.large_binary()
        ),  # null where there is an error; 32-bit offsets end at 2 GiB a block
        pa.field("error", pa.string()),
        pa.field("error_message", pa.string()),
    ]
)
THREADS = 8
# A file is not fetched where it has more bytes than an image within the pixel limit needs uncompressed, as
# 16-bit RGBA; but further pages and frames cost no pixels of the first, so that 256 MB are always fetched.
MOST_BYTES_A_PIXEL = 8
ALWAYS_FETCHED_BYTES = 256 << 20


def fetched_block(images: pa.Table, root: str | None, max_pixels: int, ledger: LedgerHandle) -> pa.Table:
    """The manifest rows with each image's bytes or error, as FETCHED_SCHEMA; none where the run stops."""
    rows = [] if ray.get(ledger.is_stopping.remote()) else images.to_pylist()
    with ThreadPoolExecutor(THREADS) as threads:
        fetched = list(threads.map(partial(_fetched_row, root=root, max_pixels=max_pixels), rows))
    return pa.Table.from_pylist(fetched, schema=FETCHED_SCHEMA)


def _fetched_row(row: dict[str, Any], root: str | None, max_pixels: int) -> dict[str, Any]:
    try:
        return {**row, "data": image_bytes(row, root, max_pixels)}
    except ImageError as fault:
        return {**row, "error": fault.reason.value, "error_message": str(fault)}


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
