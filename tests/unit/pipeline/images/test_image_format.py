"""The format of a file, recognised by its first bytes."""

import pytest

from pipeline.images.image_format import image_format


def iso(major: bytes, *compatible: bytes) -> bytes:
    brands = b"".join(compatible)
    return (16 + len(brands)).to_bytes(4, "big") + b"ftyp" + major + bytes(4) + brands + bytes(64)


@pytest.mark.parametrize("brand", ["heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs"])
def test_heic_brands(brand: str) -> None:
    assert image_format(iso(brand.encode(), b"mif1")) == "HEIC"


@pytest.mark.parametrize("brand", ["heif", "mif1", "mif2", "msf1", "miaf"])
def test_generic_brands_leave_it_to_the_compatible_ones(brand: str) -> None:
    assert image_format(iso(brand.encode(), b"miaf", b"heic")) == "HEIC"
    assert image_format(iso(brand.encode(), b"miaf", b"avif")) == "AVIF"
    assert image_format(iso(brand.encode())) == "HEIF"


def test_other_iso_files() -> None:
    assert image_format(iso(b"avis", b"avif", b"mif1")) == "AVIF"
    assert image_format(iso(b"crx ", b"isom")) == "CR3"
    assert image_format(iso(b"MiHE", b"mif1", b"heix")) == "HEIC"
    assert image_format(iso(b"isom", b"mp42")) is None


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (b"P5 3 4 255\n", "PPM"),
        (b"P1\n# made by hand\n3 4\n", "PPM"),
        (b"P6\n3\n4\n65535\n", "PPM"),
        (b"P5 was a pavilion of the fair", None),
        (b"P1", None),
        (b"P7\nWIDTH 3\n", "PAM or PFM"),
        (b"II*\0\x10\0\0\0CR\x02\0", "CR2"),
        (b"IIRO\x08\0\0\0", "ORF"),
        (b"IIU\0\x18\0\0\0", "RW2"),
    ],
)
def test_headers(header: bytes, name: str | None) -> None:
    assert image_format(header) == name
