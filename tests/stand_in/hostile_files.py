"""Hundreds of damaged image files, the same ones each time: valid files, broken in many ways."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import tifffile
from heic import deep_heic, heic
from PIL import Image


def sound_files() -> Iterator[tuple[str, bytes]]:
    """A file of every format, mode and compression that matters, with its name."""
    rng = np.random.default_rng(1)
    rgb = Image.fromarray(rng.integers(0, 256, (40, 56, 3), np.uint8))
    frames = [rgb, rgb.rotate(90), rgb.rotate(180)]
    yield "jpeg", _saved(rgb, "JPEG")
    yield "jpeg progressive", _saved(rgb, "JPEG", progressive=True)
    yield "jpeg grey", _saved(rgb.convert("L"), "JPEG")
    yield "jpeg cmyk", _saved(rgb.convert("CMYK"), "JPEG")
    exif = Image.Exif()
    exif[0x0112] = 6
    yield "jpeg exif", _saved(rgb, "JPEG", exif=exif)
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        yield f"png {mode}", _saved(rgb.convert(mode), "PNG")
    yield "png 16 bit", _saved(Image.fromarray(rng.integers(0, 65536, (40, 56), np.uint16)), "PNG")
    yield "apng", _saved(rgb, "PNG", save_all=True, append_images=frames[1:])
    yield "gif", _saved(rgb, "GIF", save_all=True, append_images=frames[1:])
    yield "webp", _saved(rgb, "WEBP")
    yield "webp lossless", _saved(rgb.convert("RGBA"), "WEBP", lossless=True)
    yield "webp frames", _saved(rgb, "WEBP", save_all=True, append_images=frames[1:])
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        yield f"tiff {compression}", _saved(rgb, "TIFF", compression=compression)
    yield "tiff pages", _saved(rgb, "TIFF", save_all=True, append_images=frames[1:])
    yield "tiff float", _saved(Image.fromarray(rng.random((40, 56), np.float32)), "TIFF")
    deep_HW3 = rng.integers(0, 65536, (40, 56, 3), np.uint16)
    for planar, compression in (("contig", "lzw"), ("separate", None)):
        layout = {"planarconfig": planar, "compression": compression, "predictor": compression is not None}
        yield f"tiff 16 bit {planar}", _tiff(deep_HW3, photometric="rgb", **layout)
    doubles_HW = rng.random((40, 56))
    yield "tiff double tiles", _tiff(doubles_HW, tile=(16, 16), compression="zlib", predictor=3, bigtiff=True)
    yield "ppm", _saved(rgb, "PPM")
    yield "pgm 16 bit", b"P5 56 40 4095\n" + (deep_HW3[:, :, 0] // 16).astype(">u2").tobytes()
    yield "avif", _saved(rgb, "AVIF")
    yield "heic", heic(rgb.convert("RGBA"), rgb, thumbnails=[16])
    yield "heic 10 bit", deep_heic(deep_HW3 >> 6, 10)
    for mode in ("1", "P", "RGB", "RGBA"):
        yield f"bmp {mode}", _saved(rgb.convert(mode), "BMP")


def hostile_files(count: int) -> Iterator[tuple[str, bytes]]:
    """`count` damaged files: each is the next valid file, broken in a randomly drawn way."""
    sound = list(sound_files())
    rng = np.random.default_rng(2)
    damages = (_flipped_bits, _noise, _zeros, _cut, _doubled, _extreme_header, _spliced)
    for number in range(count):
        name, data = sound[number % len(sound)]
        damage = damages[int(rng.integers(len(damages)))]
        other = sound[int(rng.integers(len(sound)))][1]
        yield f"{number:04d} {name} {damage.__name__[1:]}", damage(data, rng, other)


def _saved(image: Image.Image, name: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, name, **options)
    return file.getvalue()


def _tiff(array: np.ndarray, **layout: Any) -> bytes:
    planes = np.moveaxis(array, 2, 0) if layout.get("planarconfig") == "separate" else array
    file = io.BytesIO()
    tifffile.imwrite(file, planes, metadata=None, **layout)
    return file.getvalue()


def _flipped_bits(data: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    values = np.frombuffer(data, np.uint8).copy()
    places = rng.integers(0, len(values), rng.integers(1, 20))
    values[places] ^= np.left_shift(1, rng.integers(0, 8, len(places))).astype(np.uint8)
    return values.tobytes()


def _noise(data: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    start = int(rng.integers(0, len(data)))
    return data[:start] + rng.bytes(int(rng.integers(1, 200))) + data[start + 100 :]


def _zeros(data: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    start, size = int(rng.integers(0, len(data))), int(rng.integers(1, 300))
    return data[:start] + bytes(size) + data[start + size :]


def _cut(data: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    return data[: int(rng.integers(0, len(data)))]


def _doubled(data: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    start = int(rng.integers(0, len(data)))
    return data[:start] + data[start // 2 :]


def _extreme_header(data: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    """A number near the start, where sizes and offsets are, becomes huge, zero or negative."""
    start = int(rng.integers(4, 64))
    value = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\0\0\xff\xff")
    return data[:start] + value[int(rng.integers(len(value)))] + data[start + 4 :]


def _spliced(data: bytes, rng: np.random.Generator, other: bytes) -> bytes:
    return data[: int(rng.integers(0, len(data)))] + other[int(rng.integers(0, len(other))) :]
