"""What the page holds of one image: its photo, or why there is none, and the masks of one dataset or two."""

import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ImageError, Reason
from pipeline.output.row_masks import refuse_damaged_masks
from pipeline.reading.record import Record
from pipeline.report.matching import matched
from pipeline.report.packed_masks import fitting, packed_masks
from pipeline.report.photo import photo_uri
from pipeline.store.uri import redacted

# Once this many images were not available in time, the store is asked for no others.
MOST_UNAVAILABLE = 3
_MATCH_BYTES = 20  # of a mask's counterpart in the other dataset, as text
_LONGEST_TEXT = 1000  # of a name or a message; a path has 4096 bytes


@dataclass
class Photos:
    """Fetches the photos, for several threads, until the store counts as unavailable."""

    _unavailable: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def pixels(self, record: Record) -> NDArray[np.uint8]:
        """The image as it was labelled. Raises: ImageError."""
        if self._unavailable >= MOST_UNAVAILABLE:
            raise ImageError(
                Reason.SOURCE_UNAVAILABLE,
                f"not fetched, because {self._unavailable} images before it could not be fetched",
            )
        try:
            return record.image
        except ImageError as fault:
            if fault.reason is Reason.SOURCE_UNAVAILABLE:
                with self._lock:
                    self._unavailable += 1
            raise


@dataclass(frozen=True)
class Seen:
    """An image of the sample: its row here, and its row in the dataset that is compared, if there is one."""

    record: Record
    groups: list[str]
    other: Record | None = None


def shown_image(
    seen: Seen, photos: Photos, folder: str, most_bytes: int, is_compared: bool
) -> dict[str, Any]:
    """The image as JSON values of at most about `most_bytes`; its name is relative to `folder`.

    Raises: DamagedFile for masks that are not sound.
    """
    record = seen.record
    shown: dict[str, Any] = {
        "id": record.image_id,
        "name": _text(record.uri.removeprefix(f"{folder}/")),
        "uri": _text(record.uri),
        "groups": seen.groups,
    }
    room = most_bytes - sum(len(str(shown[name]).encode("unicode_escape")) for name in shown) - 2000
    rows = [seen.other, record] if is_compared else [record]
    of_side = room // (2 * len(rows))
    for row in rows:
        if row is not None and row.is_ok:
            refuse_damaged_masks(f"the row of {row.uri}", row.counts, row.height, row.width)
    rows = [fitting(row, of_side) if row is not None and row.is_ok else row for row in rows]
    labelled = [row for row in rows if row is not None and row.is_ok]
    sides, sizes = zip(*(_side(row, of_side) for row in rows), strict=True)
    shown["sides"] = list(sides)
    matches = matched(*labelled) if seen.other is not None and len(labelled) == 2 else ()
    for side, of_masks in zip(sides, matches, strict=False):
        side["matches"] = of_masks
    if labelled:
        shown |= {"width": labelled[-1].width, "height": labelled[-1].height}
        used = sum(sizes) + _MATCH_BYTES * sum(map(len, matches))
        shown |= _photo(labelled[-1], photos, room - used)
    return shown


def _side(record: Record | None, most_bytes: int) -> tuple[dict[str, Any], int]:
    """The masks of one dataset, or why there are none; and the bytes that the masks take in the page."""
    if record is None:
        return {"masks": 0, "why": "this dataset has no row for the image"}, 0
    if not record.is_ok:
        why = _text(str(record["error_message"] or ""))
        return {"masks": 0, "error": record["error"], "why": why}, 0
    packed = packed_masks(record, most_bytes)
    return packed.as_json(), packed.text_bytes


def _photo(record: Record, photos: Photos, most_bytes: int) -> dict[str, Any]:
    try:
        return {"photo": photo_uri(photos.pixels(record), most_bytes)}
    except ImageError as fault:
        return {"photo": None, "gone": fault.reason.value, "gone_why": _text(str(fault))}


def _text(text: str) -> str:
    return redacted(text if len(text) <= _LONGEST_TEXT else f"…{text[-_LONGEST_TEXT:]}")
