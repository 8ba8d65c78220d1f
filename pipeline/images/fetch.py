"""Manifest rows to encoded bytes, or to the reason why there are none. `Store` does the retries.

The one door to the bytes of an image: for runs, for readers of a dataset, for exports.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.containers.part import split_part
from pipeline.errors import ImageError, Reason, StoreError
from pipeline.images.frame import MOST_FRAMES, frame_of, without_frame
from pipeline.images.image_format import HEADER_BYTES, image_format
from pipeline.output.format.manifest import UNKNOWN_SIZE
from pipeline.store.objects import Got
from pipeline.store.settings import Access
from pipeline.store.storage import Store
from pipeline.store.uri import redacted, split_uri

# Not fetched: a file with more bytes than an image within the pixel limit needs uncompressed, as 16-bit RGBA.
MOST_BYTES_A_PIXEL = 8
# But 256 MB always are: more pages and frames do not count against the pixels of the first.
ALWAYS_FETCHED_BYTES = 256 << 20
# A TIFF with more is not fetched whole if its tiles are labelled: eight would fill the object store.
FETCHED_SCENE_BYTES = 32 << 20


@dataclass(frozen=True)
class FetchSettings:
    """What fetching an image needs besides its row; it travels to the workers."""

    root: str | None  # the folder on disk that no image may leave
    access: Access  # how the input is reached
    max_pixels: int
    in_tiles: bool = False  # whether images are labelled in tiles


def fetched(row: Mapping[str, Any], settings: FetchSettings) -> Got:
    """The bytes of the image that a manifest row names, as they were when it was listed, and their etag.

    A row without an etag, of an image that was only named, takes what there is.
    Raises: ImageError with OUTSIDE_ROOT, TOO_LARGE, SOURCE_MISSING, SOURCE_CHANGED, FORBIDDEN or
        SOURCE_UNAVAILABLE.
    """
    uri = without_frame(row["uri"])  # the decoder is told which frame
    if (frame_of(row["uri"]) or 0) >= MOST_FRAMES:
        raise ImageError(
            Reason.TOO_LARGE,
            f"the file has more than {MOST_FRAMES:,} frames, and no more are labelled; cut it into several",
        )
    if settings.root is not None:
        _refuse_outside(Path("/", split_uri(uri)[1]), Path(settings.root))
    most_bytes = max(MOST_BYTES_A_PIXEL * settings.max_pixels, ALWAYS_FETCHED_BYTES)
    store, name = Store.of_uri(uri, settings.access)
    try:
        size = _size_now(store, name) if row["size"] == UNKNOWN_SIZE else row["size"]
        if size > most_bytes:
            raise ImageError(
                Reason.TOO_LARGE,
                f"it has {size} bytes, more than an image of {settings.max_pixels} pixels needs",
            )
        got = store.get(name)
    except StoreError as fault:
        raise ImageError(fault.reason, str(fault)) from fault
    if got.etag != row["etag"] != "":
        raise ImageError(
            Reason.SOURCE_CHANGED,
            f"its etag is {got.etag} and was {row['etag']} when it was listed; run again with --refresh",
        )
    return got


def is_read_by_window(row: Mapping[str, Any], settings: FetchSettings) -> bool:
    """Whether the image is a TIFF so large that the labeler reads its windows from the store.

    Raises: ImageError as `fetched`.
    """
    uri = without_frame(row["uri"])
    if not settings.in_tiles or row["size"] <= FETCHED_SCENE_BYTES or split_part(uri)[1]:
        return False
    if settings.root is not None:
        _refuse_outside(Path("/", split_uri(uri)[1]), Path(settings.root))
    store, name = Store.of_uri(uri, settings.access)
    try:
        return image_format(store.read_range(name, 0, HEADER_BYTES)) == "TIFF"
    except StoreError as fault:
        raise ImageError(fault.reason, str(fault)) from fault


def _size_now(store: Store, name: str) -> int:
    """The size of an object that was only named; 0 if there is none, which reading it then says."""
    entry = store.info(name)
    return entry.size if entry else 0


def _refuse_outside(path: Path, root: Path) -> None:
    # realpath ends at a link that leads in a circle, where Path.resolve of Python 3.11 raises
    target = Path(os.path.realpath(path))
    if not target.is_relative_to(os.path.realpath(root)):
        raise ImageError(
            Reason.OUTSIDE_ROOT,
            redacted(f"it leads to {target}, outside the input {root}; --follow-links allows that"),
        )
