"""What an export does with the images: it copies them, links to them, or leaves them where they are.

Masks are of the upright image. So an image that is stored turned is copied upright, as PNG: some tools that
read exports apply the EXIF orientation and some do not. A frame of a file of several is copied as PNG too.
"""

import io
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from pipeline.containers.part import file_and_member
from pipeline.errors import ImageError, Reason, StoreError, UsageError
from pipeline.export.form import ExportedImage, Form, Part
from pipeline.export.record import Record
from pipeline.export_config import ImagesAs
from pipeline.images.decode import decoded_image
from pipeline.images.fetch import ANY_PIXELS, FetchSettings, fetched_together
from pipeline.images.frame import frame_of
from pipeline.images.image_format import HEADER_BYTES, image_format
from pipeline.pixel_reading import PixelReading
from pipeline.store.objects import Got
from pipeline.store.settings import Access
from pipeline.store.storage import READERS, Store, side_by_side
from pipeline.store.uri import redacted

SUFFIXES = {
    "JPEG": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "TIFF": ".tif",
    "BMP": ".bmp",
    "GIF": ".gif",
    "PPM": ".ppm",
    "AVIF": ".avif",
    "JPEG2000": ".jp2",
    "HEIC": ".heic",
}
_KNOWN_SUFFIXES = {*SUFFIXES.values(), ".jpeg", ".tiff", ".pgm", ".pbm", ".pnm", ".heif", ".hif"}
# Of images whose files are in memory together: 2 GB if a pixel has 8 bytes. 16 photos have fewer.
PIXELS_AT_ONCE = 256 << 20
_GONE = (Reason.SOURCE_MISSING, Reason.SOURCE_CHANGED)
_turning = threading.Lock()  # one at a time, since a turned image needs its pixels in memory

Placed = ExportedImage | Reason
Placing = Callable[[Record, Got | ImageError | None], Placed]


def placed(
    batches: Iterable[list[Record]],
    part: Part,
    form: Form,
    images_as: ImagesAs,
    reading: PixelReading,
    access: Access,
) -> Iterator[list[ExportedImage]]:
    """The records, after their images were copied, linked to or left; images are read as the run read them.

    Images that are gone or have changed, and files that are no images, are left out and counted.
    """
    settings = FetchSettings(None, access, ANY_PIXELS)  # they were small enough for the run
    place = _placing(part, form, images_as, reading, settings)
    for records in _together(batches):
        images = []
        bodies = _bodies(records, settings) if images_as == "copy" else [None] * len(records)
        for result in side_by_side(lambda each: place(*each), zip(records, bodies, strict=True)):
            if isinstance(result, Reason):
                part.counts.unavailable[result.value] += 1
            else:
                images.append(result)
                part.counts.images += 1
                part.counts.masks += len(result.record.masks)
                part.counts.turned += result.record.exif_orientation != 1
                part.counts.files += result.path is not None
                part.counts.bytes += result.size
        del bodies  # before the next ones come
        yield images


def _together(batches: Iterable[list[Record]]) -> Iterator[list[Record]]:
    """The batches, in parts of at most PIXELS_AT_ONCE: scenes have gigabytes. A larger image is alone."""
    for batch in batches:
        some: list[Record] = []
        pixels = 0
        for record in batch:
            size = record.masks.height * record.masks.width
            if some and pixels + size > PIXELS_AT_ONCE:
                yield some
                some, pixels = [], 0
            some.append(record)
            pixels += size
        yield some


def refuse_impossible(
    form: Form, form_name: str, images_as: ImagesAs, output: Store, inputs: list[str]
) -> None:
    """Raises UsageError if the form does not support `images_as`, or nothing can link from there to there."""
    if images_as not in form.images_as:
        raise UsageError(
            f"--format {form_name} cannot {images_as} the images; leave --images out, or give "
            f"{' or '.join(form.images_as)}"
        )
    if images_as == "link" and not (output.is_local and all(url.startswith("file://") for url in inputs)):
        raise UsageError(
            f"--images link needs images and destination on a disk, not {', '.join([*inputs, output.url])}"
        )


def _placing(
    part: Part, form: Form, images_as: ImagesAs, reading: PixelReading, settings: FetchSettings
) -> Placing:
    def copy(record: Record, got: Got | ImageError | None) -> Placed:
        try:
            data, suffix = upright_file(record, _had(got), reading)
        except ImageError as fault:
            return fault.reason
        if form.takes_image_in:
            return ExportedImage(record, data=data)
        path = form.image_path(record, suffix)
        part.store.publish(path, data)
        return ExportedImage(record, path, size=len(data))

    def link(record: Record, _: object) -> Placed:
        if frame_of(record.uri) is not None:  # its file holds other frames too
            return copy(record, _bodies([record], settings)[0])
        whole, member = file_and_member(record.uri)
        if member:
            raise UsageError(
                f"{record.uri} is part of a file, and a link needs a whole file; give --images copy"
            )
        store, name = Store.of_uri(whole, settings.access)
        if not store.is_local:  # a list on a disk may name it
            raise UsageError(
                f"{redacted(record.uri)} is not on a disk, and a link needs a file; give --images copy"
            )
        try:
            format_name = _format_of(store.read_range(name, 0, HEADER_BYTES))
        except (ImageError, StoreError) as fault:
            if fault.reason is not Reason.NOT_AN_IMAGE and fault.reason not in _GONE:
                raise
            return fault.reason
        path = form.image_path(record, _missing_suffix(record, format_name))
        _link(Path(store.location.path, name), Path(part.store.location.path, path))
        return ExportedImage(record, path)

    return {"copy": copy, "link": link, "reference": lambda record, _: ExportedImage(record)}[images_as]


def _bodies(records: list[Record], settings: FetchSettings) -> list[Got | ImageError]:
    rows = [{"uri": record.uri, "etag": record.etag, "size": 0} for record in records]
    return fetched_together(rows, settings, READERS)


def _had(got: Got | ImageError | None) -> Got:
    """The image. Raises: ImageError if it is gone or has changed, StoreError."""
    if isinstance(got, ImageError):
        if got.reason in _GONE:
            raise got
        raise StoreError(got.reason, str(got)) from got
    if got is None:
        raise ValueError("an image that is copied was not fetched")
    return got


def upright_file(record: Record, got: Got, reading: PixelReading) -> tuple[bytes, str]:
    """The image's file, upright, and a suffix for its name, mostly "". Raises: ImageError."""
    frame = frame_of(record.uri)
    if record.exif_orientation != 1 or frame is not None:
        with _turning:
            return _png(decoded_image(got.data, ANY_PIXELS, reading, frame).image_HW3), ".png"
    return got.data, _missing_suffix(record, _format_of(got.data[:HEADER_BYTES]))


def _missing_suffix(record: Record, format_name: str) -> str:
    """The suffix of a format; "" if the image's name has that of an image."""
    is_named = PurePosixPath(record.name).suffix.lower() in _KNOWN_SUFFIXES
    return "" if is_named else SUFFIXES.get(format_name, "")


def _format_of(header: bytes) -> str:
    """The format of an image file. Raises: ImageError if it is none: a stranger's row may name any file."""
    if name := image_format(header):
        return name
    raise ImageError(Reason.NOT_AN_IMAGE, "its file is no image")


def _png(image_HW3: np.ndarray) -> bytes:
    body = io.BytesIO()
    Image.fromarray(image_HW3).save(body, "PNG", compress_level=1)  # higher levels hardly help with photos
    return body.getvalue()


def _link(target: Path, link: Path) -> None:
    """Makes a symbolic link; it replaces one of an earlier attempt in one step."""
    link.parent.mkdir(parents=True, exist_ok=True)
    beside = link.with_name(f".tmp-{uuid.uuid4().hex[:8]}")
    beside.symlink_to(target)
    beside.replace(link)
