"""How many frames a file has, read from as little of it as its format allows, and the rows they become.

A few short reads suffice for a TIFF (its pages are a chain of tags), an APNG or an AVIF sequence (a header
has the number) and a HEIC (a table). A WebP states the length of each frame, so that frames are skipped. A
GIF states no lengths, and is read from end to end. The first bytes tell the format; files whose names say
that they hold one frame (`.jpg`, `.bmp`) are not read.

A damaged file counts as far as it is intact: a frame that is listed but cannot be decoded is a failed row.
"""

import io
import re
import struct
from collections.abc import Iterator
from itertools import count, islice
from typing import BinaryIO, cast

from pipeline.config import FRAMES
from pipeline.errors import StoreError
from pipeline.images.frame import MOST_FRAMES, frame_uri
from pipeline.images.image_format import HEADER_BYTES, image_format
from pipeline.images.tiff_chain import pages
from pipeline.inputs.heic_images import heic_images
from pipeline.output.format.manifest import ManifestRow, manifest_row
from pipeline.store.objects import Entry
from pipeline.store.range_file import RangeFile
from pipeline.store.storage import Store

_ONE_FRAME = re.compile(r"\.(jpg|jpeg|jpe|jfif|bmp|dib|pbm|pgm|ppm|pnm|jp2|psd|eps)$", re.I)
_READ_BYTES = 64 << 10  # at a time: a request to a store
_GIF_READ_BYTES = 4 << 20  # every byte is wanted
_MOST_PNG_CHUNKS = 1_000  # before the pixels
_CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")  # which lead to the number of pictures


def frame_rows(store: Store, file: Entry, frames: str) -> Iterator[ManifestRow]:
    """A row for each frame that `frames` names: first, all or every N; a file of one frame has one row.

    One more row, which will fail, stands for all frames behind MOST_FRAMES.
    """
    whole = manifest_row(store.uri(file.name), file.size, file.etag)
    step = FRAMES.fullmatch(frames)
    if frames == "first" or step is None or _ONE_FRAME.search(file.name):
        yield whole
        return
    numbers = list(islice(_frames(store, file), MOST_FRAMES + 1))
    if len(numbers) < 2:
        yield whole
        return
    chosen = numbers[:MOST_FRAMES][:: int(step["step"] or 1)]
    left_over = [MOST_FRAMES] if len(numbers) > MOST_FRAMES else []
    for number in chosen + left_over:
        yield manifest_row(frame_uri(whole.uri, number), file.size, file.etag)


def _frames(store: Store, file: Entry) -> Iterator[int]:
    """The numbers of the file's frames, from 0; none if no frame is intact or the file cannot be read."""
    whole = RangeFile(store, file.name, file.size, file.etag)
    opened = cast(BinaryIO, io.BufferedReader(whole, _READ_BYTES))
    try:
        head = opened.read(HEADER_BYTES)
        match image_format(head):
            case "TIFF":
                images = ((number, page) for number, page in enumerate(pages(opened)) if page.is_image)
                yield from (number for number, _ in images)
            case "GIF":
                yield from _gif_frames(cast(BinaryIO, io.BufferedReader(whole, _GIF_READ_BYTES)))
            case "PNG":
                yield from range(_png_frames(opened))
            case "WEBP":
                yield from range(_webp_frames(opened))
            case "AVIF":
                yield from range(_sequence_frames(opened, file.size))
            case "HEIC":
                yield from range(heic_images(opened, file.size))
    except (StoreError, struct.error, IndexError):
        return  # its row will say why it cannot be read, or which of its frames cannot


def _gif_frames(file: BinaryIO) -> Iterator[int]:
    file.seek(0)
    head = file.read(13)
    file.read(_colours(head[10]))
    numbers = count()
    while kind := file.read(1):
        if kind == b",":
            yield next(numbers)
            file.read(_colours(file.read(9)[8]) + 1)
        elif kind == b"!":
            file.read(1)
        else:
            break
        while size := file.read(1)[0]:
            file.read(size)


def _colours(flags: int) -> int:
    """Bytes of the table of colours that the flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _png_frames(file: BinaryIO) -> int:
    place, has_pixels = 8, False
    for _ in range(_MOST_PNG_CHUNKS):
        file.seek(place)
        size, name = struct.unpack(">I4s", file.read(8))
        has_pixels |= name == b"IDAT"
        if name == b"acTL":
            frames = int(struct.unpack(">I", file.read(4))[0])
            return min(frames + _has_default_image(file, place + 12 + size), MOST_FRAMES + 1)
        if has_pixels:
            return 1
        place += 12 + size
    return 1


def _has_default_image(file: BinaryIO, place: int) -> bool:
    """Whether there is an extra picture for viewers without animation: it counts as the first frame."""
    for _ in range(_MOST_PNG_CHUNKS):
        file.seek(place)
        size, name = struct.unpack(">I4s", file.read(8))
        if name in (b"fcTL", b"IDAT"):
            return bool(name == b"IDAT")
        place += 12 + size
    return False


def _webp_frames(file: BinaryIO) -> int:
    place, frames = 12, 0
    while frames <= MOST_FRAMES:
        file.seek(place)
        header = file.read(8)
        if len(header) < 8:
            break
        name, size = struct.unpack("<4sI", header)
        frames += name == b"ANMF"
        place += 8 + size + size % 2
    return max(1, frames)


def _sequence_frames(file: BinaryIO, end: int) -> int:
    """The number of pictures of the first track that has some; 1 for a still image."""
    place = 0
    for _ in range(_MOST_PNG_CHUNKS):
        if place + 8 > end:
            break
        file.seek(place)
        size, name = struct.unpack(">I4s", file.read(8))
        header = 8
        if size == 1:
            size, header = struct.unpack(">Q", file.read(8))[0], 16
        stop = min(end, place + size) if size >= header else end
        if name == b"stsz":
            file.seek(place + header + 8)
            return min(int(struct.unpack(">I", file.read(4))[0]), MOST_FRAMES + 1)
        if name in _CONTAINERS:
            place += header
            continue  # what is inside comes next; boxes behind it follow
        place = stop
    return 1
