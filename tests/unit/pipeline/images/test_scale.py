"""Samples of more than 8 bits as 8 bits, against values computed by hand."""

import numpy as np
import pytest

from pipeline.images.scale import CHUNK_SAMPLES, Samples, scaled

FULL_16 = (0.0, 65535.0)


def row(*values: float, dtype: str = "u2", **facts: object) -> Samples:
    return Samples(np.array([values], dtype), **facts)


@pytest.mark.parametrize(
    ("samples", "scale", "pixels", "pixel_scale", "pixel_range"),
    [
        (row(0, 257, 25700, 65535, type_range=FULL_16), "full", [0, 1, 100, 255], "0:65535", "0:65535"),
        (row(0, 4095, type_range=FULL_16), "full", [0, 16], "0:65535", "0:4095"),
        (row(1000, 4095, type_range=FULL_16), "auto", [0, 255], "1000:4095", "1000:4095"),
        (row(0, 819, 4095, 9999, type_range=FULL_16), "0:4095", [0, 51, 255, 255], "0:4095", "0:9999"),
        (row(-1000, 0, 1000, dtype="i4"), "full", [0, 128, 255], "-1000:1000", "-1000:1000"),
        (
            row(0.25, np.nan, np.inf, -np.inf, 0.75, dtype="f4"),
            "full",
            [0, 0, 0, 0, 255],
            "0.25:0.75",
            "0.25:0.75",
        ),
        (row(-9999, 5, 10, dtype="f4", nodata=-9999.0), "auto", [0, 0, 255], "5:10", "5:10"),
        (row(-9999, 5, 10, dtype="f4", nodata=-9999.0), "-9999:10", [0, 255, 255], "-9999:10", "5:10"),
        (row(65535, 0, type_range=FULL_16, is_white_zero=True), "full", [0, 255], "0:65535", "0:65535"),
        (row(7, 0, 9, nodata=0.0, is_white_zero=True), "auto", [255, 0, 0], "7:9", "7:9"),
        (row(1e300, 5, dtype="f4", nodata=-1e300), "0:10", [0, 128], "0:10", "5:5"),
        (row(0, 0, 2**63, dtype="u8"), "full", [0, 0, 255], "0:9.223372036854775808e+18", None),
    ],
)
def test_by_hand(
    samples: Samples, scale: str, pixels: list[int], pixel_scale: str, pixel_range: str | None
) -> None:
    made = scaled(samples, scale)
    assert made.pixels.tolist() == [pixels]
    if pixel_range is not None:
        assert (made.pixel_scale, made.pixel_range) == (pixel_scale, pixel_range)


def test_16_bits_by_their_type_are_divided_by_257() -> None:
    every_value = Samples(np.arange(65536, dtype=np.uint16).reshape(256, 256), FULL_16)
    np.testing.assert_array_equal(scaled(every_value, "full").pixels.ravel(), (np.arange(65536) + 128) // 257)


@pytest.mark.parametrize("value", [0.0, 7.5, np.nan, np.inf])
def test_a_constant_image_is_black(value: float) -> None:
    assert scaled(Samples(np.full((2, 2), value, np.float32)), "full").pixels.tolist() == [[0, 0], [0, 0]]


def test_an_image_of_nodata_alone_has_no_range() -> None:
    made = scaled(row(3, 3, nodata=3.0, type_range=FULL_16), "auto")
    assert (made.pixels.tolist(), made.pixel_scale, made.pixel_range) == ([[0, 0]], "0:0", None)


def test_nodata_of_colour_is_where_all_bands_have_it() -> None:
    colours_HW3 = np.array([[[0, 0, 0], [0, 100, 200]]], np.uint16)
    made = scaled(Samples(colours_HW3, FULL_16, nodata=0.0), "auto")
    assert made.pixels.tolist() == [[[0, 0, 0], [0, 0, 255]]]
    assert made.pixel_range == "100:200"


def test_a_large_image_is_scaled_as_a_small_one() -> None:
    large = np.random.default_rng(1).integers(0, 65536, (3, CHUNK_SAMPLES), np.uint16)
    made = scaled(Samples(large, FULL_16), "full").pixels
    np.testing.assert_array_equal(made, (large.astype(np.uint32) + 128) // 257)
