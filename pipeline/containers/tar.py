"""The images in a tar, compressed or not: which ones it holds, and their bytes.

A member's etag is the tar's etag and the position of the member's bytes. So a reader of a dataset, which has
only the row, gets the bytes in one request.
"""

import gzip
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import IO

from pipeline.containers.kept import Kept
from pipeline.containers.tar_members import Damage, Member, Unreadable, forward, members, unpacked
from pipeline.containers.window_file import WindowFile
from pipeline.errors import ImageError, Reason, StoreError
from pipeline.store.objects import Entry, Got
from pipeline.store.range_file import refuse_changed
from pipeline.store.storage import Store

IS_TAR = re.compile(r"\.(tar|tar\.gz|tgz)$", re.IGNORECASE)
_IS_COMPRESSED = re.compile(r"gz$", re.IGNORECASE)
_ETAG = re.compile(r"^(?P<tar>.*)@(?P<offset>\d+)\+(?P<size>\d+)$", re.DOTALL)
# A tar of images hardly shrinks when compressed; one that expands beyond this was made to fill disks.
MOST_EXPANSION, ALWAYS_UNPACKED = 100, 1 << 30
KEPT = 4  # cached listings of tars, for rows without their member's position; 0.3 KB a member

# Whether a member is an image, by its name and, if that does not say, by its first bytes.
IsImage = Callable[[str, Callable[[int], bytes]], bool]


@dataclass(frozen=True)
class Place:
    """Where a member's bytes are: in the tar, or in what a compressed tar unpacks to."""

    offset: int
    size: int

    def etag(self, tar: str) -> str:
        """The etag of the member in a tar of this etag."""
        return f"{tar}@{self.offset}+{self.size}"


@dataclass
class TarListing:
    """The images in a tar by name; of several with one name the last, as when tar unpacks them."""

    etag: str
    images: dict[str, Place] = field(default_factory=dict)
    others: int = 0  # members that are no images, or not the last of their name
    damages: list[str] = field(default_factory=list)


def is_compressed(name: str) -> bool:
    """Whether a tar's member can only be read by unpacking everything before it."""
    return _IS_COMPRESSED.search(name) is not None


def listed_tar(store: Store, file: Entry, is_image: IsImage) -> TarListing:
    """What a tar holds; the last few listings are cached. Raises: StoreError."""
    return _kept.get((store, file), lambda: _listed(store, file, is_image))


_kept: Kept[tuple[Store, Entry], TarListing] = Kept(KEPT)


def _listed(store: Store, file: Entry, is_image: IsImage) -> TarListing:
    listing = TarListing(file.etag)
    end, is_size = file.size, not is_compressed(file.name)
    if not is_size:
        end = MOST_EXPANSION * file.size + ALWAYS_UNPACKED
    with closing(_opened(store, file)) as bytes_:
        for found in members(bytes_, end, is_size):
            if isinstance(found, Damage):
                listing.damages.append(found.why)
            elif isinstance(found, Member) and (name := _part(found.name)):
                if _takes(found, name, bytes_, is_image):
                    listing.others += name in listing.images
                    listing.images[name] = Place(found.offset, found.size)
                else:
                    listing.others += 1
            elif not isinstance(found, Member):
                listing.others += 1
    return listing


def _takes(member: Member, name: str, file: IO[bytes], is_image: IsImage) -> bool:
    def head(size: int) -> bytes:
        file.seek(member.offset)
        return unpacked(file, min(size, member.size))

    return is_image(name, head)


def _part(name: str) -> str:
    """The part's name: the member's without `./` at its start; "" for a hidden member."""
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    is_hidden = any(part.startswith(".") and part.strip(".") for part in name.split("/"))
    return "" if is_hidden else name


def members_bytes(
    store: Store, name: str, etags: Mapping[str, str], is_image: IsImage, most: int
) -> Iterator[tuple[str, Got | ImageError]]:
    """Some members of a tar, by part, in the order of their positions; a compressed tar is unpacked once.

    A member of more than `most` bytes is not read. Raises: StoreError for the tar.
    """
    places, tar_etag = _places(store, name, etags, is_image)
    for part in etags.keys() - places.keys():
        yield part, ImageError(Reason.SOURCE_MISSING, f"{store.uri(name)} has no member {part!r}")
    in_order = sorted(places.items(), key=lambda each: each[1].offset)
    if is_compressed(name):
        yield from _unpacked_members(store, name, tar_etag, in_order, most)
        return
    for part, place in in_order:
        yield part, _ranged(store, name, tar_etag, place, most)


def _places(
    store: Store, name: str, etags: Mapping[str, str], is_image: IsImage
) -> tuple[dict[str, Place], str]:
    """Where the members are, without those that the tar lacks, and the tar's etag."""
    matches = {part: _ETAG.match(etag) for part, etag in etags.items()}
    known = {
        part: Place(int(match["offset"]), int(match["size"])) for part, match in matches.items() if match
    }
    listed = {match["tar"] for match in matches.values() if match}
    if len(known) == len(etags) and len(listed) == 1:
        return known, listed.pop()
    listing = listed_tar(store, existing(store, name), is_image)
    for etag in listed:
        refuse_changed(store.uri(name), etag, listing.etag)
    return {part: listing.images[part] for part in etags if part in listing.images}, listing.etag


def existing(store: Store, name: str) -> Entry:
    """The file's entry. Raises: StoreError, SOURCE_MISSING if there is none; ImageError for a folder."""
    entry = store.info(name)
    if entry is None:
        store.read_range(name, 0, 1)  # raises, with the store's words
        raise StoreError(Reason.SOURCE_MISSING, f"{store.uri(name)} is a folder")
    return entry


def _ranged(store: Store, name: str, tar_etag: str, place: Place, most: int) -> Got | ImageError:
    if place.size > most:
        return _too_large(place)
    etag = place.etag(tar_etag)
    if place.size == 0:
        return Got(b"", etag)
    got = store.get_range(name, place.offset, place.offset + place.size)
    refuse_changed(store.uri(name), tar_etag, got.etag)
    if len(got.data) < place.size:
        return _cut(store, name)
    return Got(got.data, etag)


def _unpacked_members(
    store: Store, name: str, tar_etag: str, in_order: Sequence[tuple[str, Place]], most: int
) -> Iterator[tuple[str, Got | ImageError]]:
    entry = existing(store, name)
    refuse_changed(store.uri(name), tar_etag, entry.etag)
    with closing(_opened(store, entry)) as file:
        for part, place in in_order:
            try:
                yield part, _unpacked(store, name, file, tar_etag, place, most)
            except Unreadable as fault:
                yield part, ImageError(Reason.TRUNCATED, f"{store.uri(name)}: {fault}")


def _unpacked(
    store: Store, name: str, file: IO[bytes], tar_etag: str, place: Place, most: int
) -> Got | ImageError:
    if place.size > most:
        return _too_large(place)
    forward(file, place.offset)
    data = unpacked(file, place.size)
    return Got(data, place.etag(tar_etag)) if len(data) == place.size else _cut(store, name)


def _too_large(place: Place) -> ImageError:
    return ImageError(Reason.TOO_LARGE, f"it has {place.size} bytes, more than an image may have")


def _cut(store: Store, name: str) -> ImageError:
    return ImageError(Reason.TRUNCATED, f"{store.uri(name)} ends inside it")


def _opened(store: Store, file: Entry) -> IO[bytes]:
    window = WindowFile(store, file)
    return gzip.GzipFile(fileobj=window) if is_compressed(file.name) else window  # type: ignore[return-value]
