"""Bands of multi-band TIFFs, nodata, and a GeoTIFF's place, against what tifffile wrote."""

import io
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from pipeline.errors import ImageError, Reason
from pipeline.images.decode import DecodedImage, decoded_image
from pipeline.pixel_reading import PixelReading

RNG = np.random.default_rng(3)
BANDS_8 = RNG.integers(0, 256, (40, 50, 6)).astype(np.uint8)
BANDS_16 = RNG.integers(0, 65536, (40, 50, 6)).astype(np.uint16)
GEO_KEYS = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633)


def tiff(values: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, values, **({"photometric": "minisblack"} | options))
    return file.getvalue()


def decoded(data: bytes, scale: str = "full", **options: Any) -> DecodedImage:
    return decoded_image(data, 1 << 20, PixelReading(scale, **options))


@pytest.mark.parametrize(
    "layout",
    [
        {"planarconfig": "contig"},
        {"planarconfig": "separate"},
        {"planarconfig": "contig", "compression": "lzw", "predictor": 2, "tile": (16, 16)},
        {"planarconfig": "separate", "compression": "deflate", "rowsperstrip": 7},
    ],
    ids=str,
)
@pytest.mark.parametrize("values_HWC", [BANDS_8, BANDS_16], ids=["8", "16"])
def test_bands_are_those_that_were_asked_for(values_HWC: np.ndarray, layout: dict[str, Any]) -> None:
    stored = values_HWC if layout["planarconfig"] == "contig" else np.moveaxis(values_HWC, 2, 0)
    data = tiff(stored, **layout)
    divisor = 257 if values_HWC.dtype == np.uint16 else 1
    for bands in ((4, 3, 2), (6, 6, 1), (5,)):
        expected = np.rint(values_HWC[:, :, [band - 1 for band in bands]] / divisor)
        image = decoded(data, bands=bands)
        assert (image.image_HW3 == expected).all(), bands  # one band is spread over all three
        assert image.bands == ",".join(map(str, bands))


@pytest.mark.parametrize("values", [BANDS_8, BANDS_16], ids=["8", "16"])
def test_unasked_the_sentence_names_the_option(values: np.ndarray) -> None:
    with pytest.raises(ImageError, match=r"6 bands of .* --bands 3,2,1") as caught:
        decoded(tiff(values, planarconfig="contig"))
    assert caught.value.reason is Reason.UNSUPPORTED


def test_a_band_that_is_not_there() -> None:
    with pytest.raises(ImageError, match="6 bands and no band 7") as caught:
        decoded(tiff(BANDS_8, planarconfig="contig"), bands=(7,))
    assert caught.value.reason is Reason.UNSUPPORTED


def test_nodata_of_the_file_and_of_the_run() -> None:
    values = np.array([[0, 1000, 2000, 9999, 500]], np.int16)
    data = tiff(values, extratags=[(42113, 2, 6, b"9999 \0", True)])
    image = decoded(data, "auto", nodata=0.0)
    assert image.image_HW3[0, :, 0].tolist() == [0, 85, 255, 0, 0]
    assert (image.pixel_scale, image.bands) == ("500:2000", None)


def test_where_a_geotiff_lies() -> None:
    tags = [
        (33550, 12, 3, (10.0, 20.0, 0.0), True),
        (33922, 12, 6, (0.0, 0.0, 0.0, 500_000.0, 4_600_000.0, 0.0), True),
        (34735, 3, len(GEO_KEYS), GEO_KEYS, True),
    ]
    image = decoded(tiff(BANDS_8[:, :, 0], extratags=tags))
    assert image.geo_transform == (500_000.0, 10.0, 0.0, 4_600_000.0, 0.0, -20.0)
    assert image.crs == "EPSG:32633"
    points = (*GEO_KEYS[:11], 2, *GEO_KEYS[12:])
    image = decoded(tiff(BANDS_8[:, :, 0], extratags=[*tags[:2], (34735, 3, len(points), points, True)]))
    assert image.geo_transform == (499_995.0, 10.0, 0.0, 4_600_010.0, 0.0, -20.0)
    matrix = (1.0, 2.0, 0, 7.0, 3.0, -4.0, 0, 8.0, 0, 0, 0, 0, 0, 0, 0, 1.0)
    image = decoded(tiff(BANDS_8[:, :, 0], extratags=[(34264, 12, 16, matrix, True)]))
    assert (image.geo_transform, image.crs) == ((7.0, 1.0, 2.0, 8.0, 3.0, -4.0), None)
    assert decoded(tiff(BANDS_8[:, :, 0])).geo_transform is None


def test_jpeg_2000_without_loss_and_cut_off() -> None:
    file = io.BytesIO()
    Image.fromarray(BANDS_8[:, :, :3]).save(file, "JPEG2000", irreversible=False)
    assert (decoded(file.getvalue()).image_HW3 == BANDS_8[:, :, :3]).all()
    with pytest.raises(ImageError) as caught:
        decoded(file.getvalue()[:-2000])
    assert caught.value.reason in (Reason.CORRUPT, Reason.TRUNCATED)


def test_a_hostile_transform_is_none() -> None:
    tags = [(33550, 12, 3, (float("nan"), 0.0, 0.0), True), (33922, 12, 6, (0.0,) * 6, True)]
    image = decoded(tiff(BANDS_8[:, :, 0], extratags=[*tags, (34735, 3, 3, (1, 2, 3), True)]))
    assert (image.geo_transform, image.crs) == (None, None)
