"""The masks drawn over a photo: against a slow way to draw them, and by hand on small photos."""

from pathlib import Path

import numpy as np
import pytest
import torch
from demo_dataset import PHOTOS, recorded_masks, write_demo
from PIL import Image
from scipy import ndimage

from pipeline.reading.dataset import Dataset
from pipeline.reading.record import Record
from pipeline.report.overlay import draw
from pipeline.report.palette import colours
from sam_core.masks.image_masks import ImageMasks


@pytest.fixture(scope="module")
def coffee(tmp_path_factory: pytest.TempPathFactory) -> Record:
    output: Path = tmp_path_factory.mktemp("demo")
    write_demo(str(output))
    return next(record for record in Dataset.open(str(output)) if "coffee" in record.uri)


def slowly(image_HW3: np.ndarray, masks_NHW: np.ndarray, alpha: float, width: int) -> np.ndarray:
    """Paints each whole mask over the earlier ones, and scipy's outlines last."""
    colour_N3 = colours(len(masks_NHW)).astype(float)
    picture = image_HW3.astype(float)
    largest_first = np.argsort(-masks_NHW.sum((1, 2)), kind="stable")
    for index in largest_first:
        tinted = (1 - alpha) * image_HW3 + alpha * colour_N3[index]
        picture[masks_NHW[index]] = tinted[masks_NHW[index]]
    four, eight = ndimage.generate_binary_structure(2, 1), ndimage.generate_binary_structure(2, 2)
    for index in largest_first:
        core = masks_NHW[index]
        for step in range(width):
            core = ndimage.binary_erosion(core, eight if step % 2 else four)
        picture[masks_NHW[index] & ~core] = colour_N3[index]
    return picture


@pytest.mark.parametrize(("alpha", "outline"), [(0.4, 2), (0.0, 3), (1.0, 0)])
def test_a_photo_is_drawn_as_the_slow_way_draws_it(coffee: Record, alpha: float, outline: int) -> None:
    expected = slowly(coffee.image, coffee.masks(), alpha, outline)
    drawn = draw(coffee, alpha=alpha, outline=outline)
    assert drawn.dtype == np.uint8
    assert np.abs(drawn - expected).max() <= 1


def test_an_outline_may_be_wider_than_the_photo(coffee: Record) -> None:
    assert np.array_equal(draw(coffee, outline=2**62), draw(coffee, outline=max(coffee.image.shape)))


def test_the_default_is_seen_and_leaves_the_photo_alone(coffee: Record) -> None:
    before = coffee.image.copy()
    assert np.array_equal(draw(coffee), draw(coffee, alpha=0.4, outline=2))
    assert np.array_equal(coffee.image, before)
    assert np.array_equal(draw(coffee, alpha=0, outline=0), before)


def test_masks_come_in_every_form_that_sa_and_this_package_give(coffee: Record) -> None:
    photo = np.asarray(Image.open(PHOTOS / "coffee.jpg"))
    masks = recorded_masks("coffee")
    expected = draw(coffee)
    for form in (
        masks,
        masks.records("binary_mask"),
        masks.records("uncompressed_rle"),
        masks.records("coco_rle"),
        [{"segmentation": {"size": [400, 600], "counts": counts}} for counts in masks.counts],
        coffee.masks(),
    ):
        assert np.array_equal(draw(photo, form), expected)
    assert np.array_equal(draw(coffee, masks.select(np.arange(3))), draw(photo, masks.select(np.arange(3))))


def test_arrays_may_be_a_list_and_of_uint8(coffee: Record) -> None:
    expected = draw(coffee)
    masks_NHW = coffee.masks()
    for form in (
        list(masks_NHW),
        masks_NHW.astype(np.uint8),
        [{"segmentation": mask.astype(np.uint8)} for mask in masks_NHW],
        iter(coffee.image_masks.records()),
    ):
        assert np.array_equal(draw(coffee, form), expected)  # type: ignore[arg-type]


ONES = np.ones((4, 5), bool)
RLE = {"size": [4, 5], "counts": [0, 20]}
NO_MASKS = [
    *(5, "ab", "", {}, {"segmentation": ONES}, [{}], [RLE], [5], [None], [[ONES]], [{"segmentation": None}]),
    *(torch.ones(1, 4, 5).bool(), [torch.ones(4, 5).bool()], np.array(True), [{"segmentation": [[1]]}]),
]


@pytest.mark.parametrize("masks", NO_MASKS, ids=repr)
def test_masks_of_another_kind_are_told(masks: object) -> None:
    with pytest.raises(ValueError, match=r"masks of type \w+ cannot be drawn; draw accepts ImageMasks, bool"):
        draw(np.zeros((4, 5, 3), np.uint8), masks)  # type: ignore[arg-type]


def test_a_record_for_masks_is_told(coffee: Record) -> None:
    with pytest.raises(ValueError, match="masks of type Record cannot be drawn"):
        draw(coffee.image, coffee)  # type: ignore[arg-type]


@pytest.mark.parametrize("masks", [ONES * 0.5, ONES * 1.0, ONES * np.uint8(255), ONES * 1])
def test_arrays_of_other_numbers_are_told(masks: np.ndarray) -> None:
    for form in (masks[None], [masks], [{"segmentation": masks}]):
        with pytest.raises(ValueError, match=r"a mask is an array of .*; give bool, or uint8 of 0 and 1"):
            draw(np.zeros((4, 5, 3), np.uint8), form)


NO_COUNTS = [
    *([0, 19], [-1, 21], [0.5, 19.5], ["0"], [], 5, None),
    *("a", "é", "\udcff", b"0", "", "PPPPPPPPPP0"),
]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"size": 5}, "the size of a segmentation is 5; give 2 whole numbers"),
        *(({"counts": counts}, "the counts .* are not a mask of 4 x 5 pixels") for counts in NO_COUNTS),
    ],
)
def test_run_lengths_of_no_mask_are_told(change: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        draw(np.zeros((4, 5, 3), np.uint8), [{"segmentation": {**RLE, **change}}])
    with pytest.raises(ValueError, match=r"a segmentation has \['size'\]; give size and counts"):
        draw(np.zeros((4, 5, 3), np.uint8), [{"segmentation": {"size": [4, 5]}}])


def test_a_mask_keeps_its_colour_when_others_are_left_out(coffee: Record) -> None:
    place = int(np.argmin(coffee.area))
    (alone,) = np.unique(draw(coffee.select(np.array([place])), alpha=1)[coffee.mask(place)], axis=0)
    assert np.array_equal(alone, colours(place + 1)[place])


def test_a_mask_that_smaller_ones_cover_keeps_its_outline() -> None:
    grey = np.full((8, 8, 3), 128, np.uint8)
    whole, halves = np.ones((8, 8), bool), np.zeros((2, 8, 8), bool)
    halves[0, :, :4] = halves[1, :, 4:] = True
    drawn = draw(grey, np.stack([whole, *halves]), alpha=1, outline=0)
    assert not (drawn == colours(1)[0]).all(axis=2).any()
    inside = np.zeros((8, 8), bool)
    inside[2:6, 2:6] = True
    drawn = draw(grey, np.stack([inside, inside, whole]), alpha=0, outline=1)
    assert np.array_equal(drawn[2, 2], colours(2)[1]), "of equal masks the later one is on top"
    assert np.array_equal(drawn[0, 0], colours(3)[2])
    assert np.array_equal(drawn[3, 3], grey[3, 3])


def test_no_masks_and_masks_without_a_pixel_draw_nothing(coffee: Record) -> None:
    grey = np.full((5, 7, 3), 128, np.uint8)
    assert np.array_equal(draw(grey, []), grey)
    assert np.array_equal(draw(grey, np.zeros((2, 5, 7), bool)), grey)
    assert draw(grey, []) is not grey
    assert np.array_equal(draw(coffee.select(np.zeros(0, np.int64))), coffee.image)


@pytest.mark.parametrize(
    ("image", "masks", "options", "sentence"),
    [
        (np.zeros((4, 5, 3), np.uint8), np.ones((1, 5, 4), bool), {}, r"\[5, 4\] does not fit .* \[4, 5\]"),
        (np.zeros((4, 5, 3), np.uint8), np.ones((5, 4), bool), {}, r"\[4\] does not fit .* \[4, 5\]"),
        (np.zeros((4, 5, 3), np.uint8), None, {}, "an image without masks"),
        (np.zeros((4, 5, 3), np.uint8), [], {"alpha": 1.5}, "alpha is 1.5"),
        (np.zeros((4, 5, 3), np.uint8), [], {"outline": -1}, "outline -1"),
        (np.zeros((4, 5, 3), np.uint8), [], {"outline": 1.5}, "outline 1.5; .* a whole number of pixels"),
        (np.zeros((4, 5, 3), np.uint8), [], {"alpha": "a"}, "alpha is 'a'"),
        (np.zeros((4, 5, 3), np.uint8), [], {"alpha": None}, "alpha is None"),
        (np.zeros((4, 5), np.uint8), [], {}, "repeat a grey image"),
        ("photo.jpg", [], {}, "read the file with"),
    ],
)
def test_what_cannot_be_drawn_is_told(image: object, masks: object, options: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        draw(image, masks, **options)  # type: ignore[arg-type]


def test_masks_of_another_size_are_told(coffee: Record) -> None:
    other: ImageMasks = recorded_masks("rocket")
    with pytest.raises(ValueError, match=r"\[427, 640\] does not fit the image of \[400, 600\]"):
        draw(coffee, other)
