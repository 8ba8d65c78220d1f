"""HEIC files, by pillow-heif's encoder."""

import io

import numpy as np
import pillow_heif
from PIL import Image

LOSSLESS = {"quality": -1, "chroma": 444, "matrix_coefficients": 0}


def heic(*images: Image.Image, **options: object) -> bytes:
    """A file of these images; `options` as of `HeifFile.save`."""
    file = pillow_heif.HeifFile()
    for image in images:
        file.add_from_pillow(image)
    return _saved(file, **options)


def lossless_heic(image_HW3: np.ndarray, exif: bytes | None = None) -> bytes:
    """A lossless file of the image; `exif` may hold an orientation."""
    height, width, _ = image_HW3.shape
    file = pillow_heif.HeifFile()
    file.add_frombytes("RGB", (width, height), image_HW3.tobytes()).info["exif"] = exif
    return _saved(file, **LOSSLESS)


def deep_heic(values: np.ndarray, bits: int) -> bytes:
    """A lossless file of samples of 10 or 12 bits; uint16 [H, W], [H, W, 3] or [H, W, 4]."""
    mode = "L;16" if values.ndim == 2 else f"{'RGBA'[: values.shape[2]]};16"
    height, width = values.shape[:2]
    file = pillow_heif.HeifFile()
    file.add_frombytes(mode, (width, height), (values << (16 - bits)).astype(np.uint16).tobytes())
    usual, pillow_heif.options.SAVE_HDR_TO_12_BIT = pillow_heif.options.SAVE_HDR_TO_12_BIT, bits == 12
    try:
        return _saved(file, **LOSSLESS)
    finally:
        pillow_heif.options.SAVE_HDR_TO_12_BIT = usual


def _saved(file: pillow_heif.HeifFile, **options: object) -> bytes:
    encoded = io.BytesIO()
    file.save(encoded, **options)
    return encoded.getvalue()
