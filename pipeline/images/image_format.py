"""The format of a file, from its bytes alone and never from its name.

`DECODED_FORMATS` are decoded. The other signatures are known only so that a photo in a format we do not read
is called UNSUPPORTED, which a person can act on, and not NOT_AN_IMAGE.
"""

import re
import struct

HEADER_BYTES = 132  # as far as the last signature below reaches

_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (  # offset, bytes, format
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (8, b"WEBP", "WEBP"),
    (8, b"CR\x02", "CR2"),  # a TIFF with Canon's own mark
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),  # BigTIFF
    (0, b"MM\0+", "TIFF"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
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
    (0, b"II\xbc\x01", "JPEG XR"),
    (0, b"FUJIFILMCCD-RAW", "RAF"),
    (0, b"IIRO", "ORF"),
    (0, b"IIRS", "ORF"),
    (0, b"MMOR", "ORF"),
    (0, b"IIU\0", "RW2"),
    (6, b"HEAPCCDR", "CRW"),
    (0, b"\0MRM", "MRW"),
    (0, b"FOVb", "X3F"),
    (0, b"SIMPLE  =", "FITS"),
    (128, b"DICM", "DICOM"),
)

# Brands of ISO base media files that are pictures. After a generic brand, the compatible brands decide.
_FORMAT_BY_BRAND = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), "HEIC"),
    b"crx ": "CR3",
}
_GENERIC_BRANDS = frozenset({b"heif", b"mif1", b"mif2", b"mif3", b"msf1", b"miaf"})

DECODED_FORMATS = frozenset({"JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF", "JPEG2000", "HEIC"})

_BMP_HEADER_SIZES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
# Magic number and width, or a comment before it: "P1" alone begins many text files.
_NETPBM = re.compile(rb"P[1-6]\s+(#|\d+\s)")
_PAM = re.compile(rb"P7\s+(#|WIDTH|HEIGHT|DEPTH|MAXVAL|TUPLTYPE)|P[Ff]\s+\d+\s+\d+\s")


def image_format(header: bytes) -> str | None:
    """The format that `header`, a file's first bytes, belongs to; None if it is no known image."""
    if header.startswith(b"ftyp", 4):
        return _iso_format(header)
    for offset, signature, name in _SIGNATURES:
        if header.startswith(signature, offset) and (name != "WEBP" or header.startswith(b"RIFF")):
            return name
    if _NETPBM.match(header):
        return "PPM"
    if _PAM.match(header):
        return "PAM or PFM"
    # "BM" alone begins many text files; the size of the header that follows decides.
    if (
        header.startswith(b"BM")
        and len(header) >= 18
        and header[14] in _BMP_HEADER_SIZES
        and not any(header[15:18])
    ):
        return "BMP"
    return None


def _iso_format(header: bytes) -> str | None:
    """The format that the major brand names, else the first compatible brand that is a picture's."""
    end = min(int.from_bytes(header[:4], "big"), len(header))
    brands = [header[8:12], *(header[start : start + 4] for start in range(16, end, 4))]
    for brand in brands:
        if brand in _FORMAT_BY_BRAND:
            return _FORMAT_BY_BRAND[brand]
    return "HEIF" if _GENERIC_BRANDS.intersection(brands) else None


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
        case "AVIF" | "HEIC":
            return _iso_boxes_end(data) > len(data)
    # The parts of a TIFF stand in any order, and a PPM states no length: the decoder's message decides.
    return False


def _iso_boxes_end(data: bytes) -> int:
    """Where the last top-level box of the file says that it ends."""
    start = 0
    while start + 8 <= len(data):
        size = int.from_bytes(data[start : start + 4], "big")
        if size == 1:  # a 64-bit size follows the name
            size = int.from_bytes(data[start + 8 : start + 16], "big")
        if size < 8:  # 0: to the end of the file
            return len(data)
        start += size
    return len(data) + 1 if 0 < len(data) - start < 8 else start
