"""PGM and PPM with any largest value; Pillow decodes these byte by byte, and colour to 8 bits only."""

import re

import numpy as np
from PIL import ImageFile

from pipeline.images.scale import Samples

_COMMENT = re.compile(rb"#[^\r\n]*")


def netpbm_samples(data: bytes, image: ImageFile.ImageFile) -> tuple[Samples, int] | None:
    """The samples of an open PGM or PPM and its largest value; None if Pillow can read it.

    Raises: ValueError if a sample is no number, is above the largest, or the file is truncated.
    """
    (tile,) = image.tile
    is_plain = tile.codec_name == "ppm_plain"
    largest = 65535 if tile.args == "I;16B" else tile.args[-1] if isinstance(tile.args, tuple) else 255
    if image.mode == "1" or (largest == 255 and not is_plain):
        return None
    width, height = image.size
    bands = 3 if image.mode == "RGB" else 1
    count = width * height * bands
    if is_plain:
        tokens = _COMMENT.sub(b"", data[tile.offset :]).split(maxsplit=count)[:count]
        values = np.array(tokens, dtype="S10").astype(np.int64)
    else:
        sample_type = np.dtype(">u2" if largest > 255 else "u1")
        whole = min(count, max(0, len(data) - tile.offset) // sample_type.itemsize)
        values = np.frombuffer(data, sample_type, whole, tile.offset)
    if values.size < count:
        raise ValueError(f"the file is truncated: it has {values.size} of {count} samples")
    if values.size and not 0 <= int(values.min()) <= int(values.max()) <= largest:
        raise ValueError(f"a sample is not between 0 and {largest}")
    shape = (height, width) if bands == 1 else (height, width, bands)
    return Samples(values.astype(np.uint16).reshape(shape), (0, largest)), largest
