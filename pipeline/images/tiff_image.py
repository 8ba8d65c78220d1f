"""A page of a TIFF as its samples, or as Pillow reads it, and where on earth it lies (infra/adr/0013)."""

import io
from dataclasses import replace

from PIL import UnidentifiedImageError

from pipeline.images.geo_tags import crs, geo_transform
from pipeline.images.rgb import rgb_image
from pipeline.images.stored import (
    EXIF_ORIENTATION,
    UPRIGHT_BY_ORIENTATION,
    Asked,
    Stored,
    no_frame,
    opened,
    refuse_size,
)
from pipeline.images.tiff_chain import page_offset, with_first_page
from pipeline.images.tiff_samples import chosen_bands, one_plane, tiff_samples
from pipeline.images.tiff_tags import (
    BLACK_IS_ZERO,
    HEIGHT,
    RGB,
    WHITE_IS_ZERO,
    WIDTH,
    TiffTags,
    UnchosenBandsError,
    UnreadLayoutError,
)


def stored_tiff(data: bytes, asked: Asked) -> Stored:
    """The page that is asked for. Raises: ImageError, UnreadLayoutError, and what Pillow raises."""
    if asked.frame:
        offset = page_offset(io.BytesIO(data), asked.frame)
        if offset is None:
            raise no_frame(asked.frame, TiffTags.of(data).pages(data))
        whole, data = data, with_first_page(data, offset)
        frames = TiffTags.of(whole).pages(whole)
        return replace(stored_tiff(data, replace(asked, frame=None)), frames=frames)
    tags = TiffTags.of(data)
    refuse_size(tags.integers(WIDTH)[0], tags.integers(HEIGHT)[0], asked.max_pixels)
    tags.refuse_unread()
    chosen = asked.reading.bands
    bands = ",".join(map(str, chosen)) or None
    orientation, frames = tags.ifd.get(EXIF_ORIENTATION, 1), tags.pages(data)
    orientation = orientation if orientation in UPRIGHT_BY_ORIENTATION else 1
    # The transform is for the pixels as they are stored, so a page that is turned upright has none.
    place = (geo_transform(tags.ifd), crs(tags.ifd)) if orientation == 1 else (None, None)
    try:
        samples = chosen_bands(data, tags, chosen) if chosen else tiff_samples(data, tags)
        if samples is not None:
            return Stored(samples, tags.bits[0] > 8, orientation, False, frames, bands, *place)
        page = opened(one_plane(data, tags), "TIFF")
        page.load()  # which turns it upright
        image = rgb_image(page)
    except UnidentifiedImageError:
        is_plain = tags.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB)
        fault = UnchosenBandsError if is_plain and len(tags.bits) > 1 else UnreadLayoutError
        raise fault(tags.described()) from None
    except (MemoryError, UnreadLayoutError):
        raise
    except Exception as fault:
        if tags.last_byte > len(data):
            raise ValueError(f"the file is truncated: its strips end at byte {tags.last_byte}") from fault
        if tags.is_codec_missing:
            raise UnreadLayoutError(tags.described()) from fault
        raise
    return Stored(image, False, orientation, True, frames, bands, *place)
