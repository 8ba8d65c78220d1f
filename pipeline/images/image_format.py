"""What a file is, from its bytes alone: names and extensions are never asked.

Six formats are decoded. The other signatures are known only so that a photo in a format we do not read is
called UNSUPPORTED, which a person can act on, and not NOT_AN_IMAGE.
"""

import struct

HEADER_BYTES = 132  # as far as the last signature below reaches

_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (  # offset, bytes, format
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (8, b"WEBP", "WEBP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),  # BigTIFF
    (0, b"MM\0+", "TIFF"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (4, b"ftypheic", "HEIC"),
    (4, b"ftypheix", "HEIC"),
    (4, b"ftypmif1", "HEIF"),
    (4, b"ftypmsf1", "HEIF"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypcrx ", "CR3"),
    (0, b"8BPS", "PSD"),
    (0, b"%!PS", "EPS"),
    (0, b"\xc5\xd0\xd3\xc6", "EPS"),
    (0, b"\0\0\0\x0cjP  ", "JPEG2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG2000"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\0\0\x01\0", "ICO"),
    (0, b"gimp xcf", "XCF"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"DDS ", "DDS"),
    (0, b"qoif", "QOI"),
    (0, b"FUJIFILMCCD-RAW", "RAF"),
    (0, b"SIMPLE  =", "FITS"),
    (128, b"DICM", "DICOM"),
)

DECODED_FORMATS = frozenset({"JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"})

_BMP_HEADER_SIZES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})


def image_format(header: bytes) -> str | None:
    """Name of the format that `header`, a file's first bytes, belongs to; None where it is no known image."""
    for offset, signature, name in _SIGNATURES:
        if header.startswith(signature, offset) and (name != "WEBP" or header.startswith(b"RIFF")):
            return name
    # "BM" alone begins many a text; the size of the header that follows settles it.
    if (
        header.startswith(b"BM")
        and len(header) >= 18
        and header[14] in _BMP_HEADER_SIZES
        and not any(header[15:18])
    ):
        return "BMP"
    return None


def is_cut_off(data: bytes, name: str) -> bool:
    """Whether `data`, a file of the decoded format `name`, ends before the format says that it should."""
    match name:
        case "JPEG":
            return b"\xff\xd9" not in data[-4096:]  # some cameras add padding behind the end marker
        case "PNG":
            return b"IEND" not in data[-4096:]
        case "GIF":
            return not data.rstrip(b"\0").endswith(b";")
        case "WEBP":
            return len(data) < 12 or struct.unpack_from("<I", data, 4)[0] + 8 > len(data)
        case "BMP":
            return len(data) < 26 or struct.unpack_from("<I", data, 2)[0] > len(data)
    return False  # a TIFF's parts stand in any order; there the decoder's message decides
