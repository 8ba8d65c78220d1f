"""The colours of masks: always the same, and far enough apart."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from pipeline.report.palette import colours, css_colours


def lab(rgb_N3: NDArray[np.uint8]) -> NDArray[np.float64]:
    """CIE L*a*b* by Pillow's colour management; L is 0 to 100; people see steps of 2.3 or more."""
    of_srgb = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    image = ImageCms.applyTransform(Image.fromarray(rgb_N3[None]), of_srgb)
    assert image is not None
    lab_N3 = np.asarray(image)[0].astype(np.float64)
    # Pillow's a and b are signed bytes
    return np.stack([lab_N3[:, 0] * 100 / 255, *((lab_N3[:, 1:].T + 128) % 256 - 128)], axis=1)


def test_the_first_colours_are_these_for_good() -> None:
    """A mask has the same colour in older pictures and pages."""
    assert css_colours(4) == ["#be296a", "#54af24", "#9eb1ff", "#d95900"]
    assert [f"#{bytes(rgb).hex()}" for rgb in colours(99)] == css_colours(99)


def test_a_colour_does_not_depend_on_how_many_there_are() -> None:
    assert np.array_equal(colours(300)[:7], colours(7))
    assert colours(0).shape == (0, 3)
    assert css_colours(0) == []


def test_masks_of_neighbouring_places_look_different() -> None:
    lab_N3 = lab(colours(200))
    apart_NN = np.linalg.norm(lab_N3[:, None] - lab_N3[None], axis=2)
    np.fill_diagonal(apart_NN, np.inf)
    steps = np.abs(np.arange(200)[:, None] - np.arange(200))
    assert apart_NN[steps <= 7].min() > 15
    assert apart_NN[steps <= 20].min() > 5
    assert len(np.unique(colours(200), axis=0)) == 200


def test_a_colour_is_seen_on_black_and_on_white() -> None:
    lightness_N = lab(colours(200))[:, 0]
    assert lightness_N.min() > 40
    assert lightness_N.max() < 90
