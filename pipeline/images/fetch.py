"""Manifest rows to encoded bytes, or to the reason why there are none. `Store` does the retries.

Runs, readers of a dataset, and exports all get the bytes of an image here.
"""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.containers.part import file_and_member, split_part
from pipeline.errors import ImageError, Reason, SamLabelError, StoreError
from pipeline.images.frame import MOST_FRAMES, frame_of, without_frame
from pipeline.images.image_format import HEADER_BYTES, image_format
from pipeline.images.parts import is_read_in_one_pass, parts_bytes
from pipeline.program_log import about_image
from pipeline.shutdown import answer
from pipeline.store.objects import UNKNOWN_SIZE, Got
from pipeline.store.settings import Access
from pipeline.store.storage import Store, side_by_side
from pipeline.store.uri import redacted, split_uri

# A file with more bytes is not fetched: an uncompressed 16-bit RGBA image within the pixel limit needs fewer.
MOST_BYTES_A_PIXEL = 8
# Files of up to 256 MB are always fetched: only the first page or frame counts against the pixel limit.
ALWAYS_FETCHED_BYTES = 256 << 20
# A larger TIFF is not fetched whole if it is labelled in tiles: eight would fill the object store.
FETCHED_SCENE_BYTES = 32 << 20
SIZES_S = 10.0  # for the sizes of a few images, which only make a run take less memory
ANY_PIXELS = 1 << 62  # no limit, for what a run has labelled or need not label


@dataclass(frozen=True)
class FetchSettings:
    """What fetching an image needs besides its row; it is sent to the workers."""

    root: str | None  # the folder on disk that no image may leave
    access: Access  # how the input is reached
    max_pixels: int
    in_tiles: bool = False  # whether images are labelled in tiles

    @property
    def most_bytes(self) -> int:
        """The largest file that is fetched."""
        return max(MOST_BYTES_A_PIXEL * self.max_pixels, ALWAYS_FETCHED_BYTES)


def fetched(row: Mapping[str, Any], settings: FetchSettings) -> Got:
    """The bytes and the etag of the image that a manifest row names, if they are still those of the listing.

    A row without an etag, of an image that a list only names, accepts any version.
    Raises: ImageError with OUTSIDE_ROOT, TOO_LARGE, SOURCE_MISSING, SOURCE_CHANGED, FORBIDDEN or
        SOURCE_UNAVAILABLE; with TRUNCATED or CORRUPT for a container that is damaged.
    """
    (result,) = _fetched_in_one_pass([row], settings)
    if isinstance(result, ImageError):
        raise result
    return result


def fetched_together(
    rows: Sequence[Mapping[str, Any]], settings: FetchSettings, threads: int
) -> list[Got | ImageError]:
    """As `fetched` for each row, in parallel; a container that is read in one pass is read once."""
    passes: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        whole, member = file_and_member(row["uri"])
        passes[whole, "" if is_read_in_one_pass(whole) else member].append(place)
    results: dict[int, Got | ImageError] = {}
    with ThreadPoolExecutor(threads) as pool:
        read = partial(_fetched_in_one_pass, settings=settings)
        groups = [[rows[place] for place in places] for places in passes.values()]
        for places, group in zip(passes.values(), pool.map(read, groups), strict=True):
            results.update(zip(places, group, strict=True))
    return [results[place] for place in range(len(rows))]


def is_read_by_window(row: Mapping[str, Any], settings: FetchSettings) -> bool:
    """Whether the image is a TIFF so large that the labeler reads its windows from the store.

    Raises: ImageError as `fetched`.
    """
    uri = without_frame(row["uri"])
    if not settings.in_tiles or 0 <= row["size"] <= FETCHED_SCENE_BYTES or split_part(uri)[1]:
        return False
    if outside := _outside_root(uri, settings):
        raise outside
    store, name = Store.of_uri(uri, settings.access)
    try:
        size = _size_now(store, name) if row["size"] == UNKNOWN_SIZE else row["size"]
        is_large = size > FETCHED_SCENE_BYTES
        return is_large and image_format(store.read_range(name, 0, HEADER_BYTES)) == "TIFF"
    except StoreError as fault:
        raise ImageError(fault.reason, str(fault)) from fault


def stated_sizes(uris: Sequence[str], access: Access) -> list[int]:
    """Bytes of each image's file as its store states them, 0 if it does not; empty after SIZES_S.

    They are also 0 for a part of a file, and on the web, where hosts may be dead or allow few requests.
    """
    try:
        return answer(lambda: side_by_side(partial(_stated_size, access=access), uris), SIZES_S, "the store")
    except SamLabelError:  # the store is slow; fetching the images says so
        return []


def _stated_size(uri: str, access: Access) -> int:
    store, name = Store.of_uri(without_frame(uri), access)
    if split_part(uri)[1]:
        return 0
    try:
        return max(_size_now(store, name), 0)
    except StoreError:  # fetching the image says why
        return 0


def _fetched_in_one_pass(
    rows: Sequence[Mapping[str, Any]], settings: FetchSettings
) -> list[Got | ImageError]:
    """The images of rows of one file; for each its bytes, or why there are none."""
    whole = file_and_member(rows[0]["uri"])[0]
    members = [file_and_member(row["uri"])[1] for row in rows]
    # Frames of one file share a member, so a refusal is noted for the row and not for the member.
    refusals = [_refusal(row, whole, settings) for row in rows]
    asked = zip(rows, members, refusals, strict=True)
    wanted = {member: row["etag"] for row, member, refusal in asked if refusal is None}
    try:
        with about_image(rows[0].get("image_id", ""), rows[0]["uri"]):
            read = _bytes_of(whole, wanted, settings) if wanted else {}
    except StoreError as fault:
        return [
            refusal or _named_like_a_part(row, whole, fault, settings)
            for row, refusal in zip(rows, refusals, strict=True)
        ]
    return [refusal or read[member] for member, refusal in zip(members, refusals, strict=True)]


def _bytes_of(whole: str, wanted: Mapping[str, str], settings: FetchSettings) -> dict[str, Got | ImageError]:
    store, name = Store.of_uri(whole, settings.access)
    if "" in wanted:
        return {"": _whole(store, name, wanted[""], settings)}
    return dict(parts_bytes(store, name, wanted, settings.most_bytes))


def _whole(store: Store, name: str, etag: str, settings: FetchSettings) -> Got | ImageError:
    """The object. On a disk its size is looked up, since a row of somebody else's may state another."""
    if (etag == "" or store.is_local) and (size := _size_now(store, name)) > settings.most_bytes:
        return _too_large(size, settings)
    return _as_listed(store.get(name), etag)


def _size_now(store: Store, name: str) -> int:
    """The size of an object; 0 if there is none: reading it will raise.

    It is also 0 for a web URL, where reading has its own limit.
    """
    entry = store.info(name) if store.is_listable else None
    return entry.size if entry else 0


def _named_like_a_part(
    row: Mapping[str, Any], whole: str, fault: StoreError, settings: FetchSettings
) -> Got | ImageError:
    """The object whose own name looks like a part of `whole`, which was not read; or why there is none."""
    if fault.reason is Reason.SOURCE_MISSING and row["uri"] != whole:
        store, name = Store.of_uri(row["uri"], settings.access)
        try:
            return _whole(store, name, row["etag"], settings)
        except StoreError as own:
            fault = fault if own.reason is Reason.SOURCE_MISSING else own
    return ImageError(fault.reason, str(fault))


def _as_listed(got: Got, etag: str) -> Got | ImageError:
    if got.etag != etag != "":
        return ImageError(
            Reason.SOURCE_CHANGED,
            f"its etag is {got.etag} but was {etag} when it was listed; run again with --refresh",
        )
    return got


def _refusal(row: Mapping[str, Any], whole: str, settings: FetchSettings) -> ImageError | None:
    """Why the image must not be read, if so."""
    if (frame_of(row["uri"]) or 0) >= MOST_FRAMES:
        return ImageError(
            Reason.TOO_LARGE,
            f"the file has more than {MOST_FRAMES:,} frames, the most that sam-label labels; split it into "
            "several files",
        )
    if outside := _outside_root(whole, settings):
        return outside
    return _too_large(row["size"], settings) if row["size"] > settings.most_bytes else None


def _too_large(size: int, settings: FetchSettings) -> ImageError:
    why = f"it has {size} bytes, more than an image of {settings.max_pixels} pixels needs"
    return ImageError(Reason.TOO_LARGE, why)


def _outside_root(uri: str, settings: FetchSettings) -> ImageError | None:
    if settings.root is None:
        return None
    # realpath ends at a link that leads in a circle, where Path.resolve of Python 3.11 raises
    target = Path(os.path.realpath(Path("/", split_uri(uri)[1])))
    if target.is_relative_to(os.path.realpath(settings.root)):
        return None
    return ImageError(
        Reason.OUTSIDE_ROOT,
        redacted(
            f"it leads through a link to {target}, outside the input {settings.root}; "
            "--follow-links allows that"
        ),
    )
