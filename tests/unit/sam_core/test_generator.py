"""The generator's promises beyond SA's results, on a small random model."""

import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_sam import small_sam

from sam_core.decoding.crop_decoder import CropDecoder
from sam_core.generator import SamAutomaticMaskGenerator
from sam_core.masks.image_masks import ImageMasks
from sam_core.model.sam import ImageEmbedding, Sam
from sam_core.options import MaskOptions

pytestmark = pytest.mark.usefixtures("one_thread")
EVERYTHING: dict[str, Any] = {"pred_iou_thresh": 0, "stability_score_thresh": 0, "box_nms_thresh": 1}


@pytest.fixture(scope="module")
def sam() -> Sam:
    return small_sam()


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    patches = np.random.default_rng(0).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return np.kron(patches, np.ones((20, 20, 1), np.uint8))[:70]


def assert_equal(ours: ImageMasks, others: ImageMasks) -> None:
    assert ours.counts == others.counts
    assert (ours.height, ours.width) == (others.height, others.width)
    for name in ("area", "bbox_xywh", "point_coords", "crop_box_xywh"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(others, name))
    for name in ("predicted_iou", "stability_score"):
        np.testing.assert_allclose(getattr(ours, name), getattr(others, name), atol=1e-5)


@pytest.mark.parametrize(
    "options", [{}, {"crop_n_layers": 1}, {"min_mask_region_area": 9}, {"tile_size": 64}]
)
def test_an_image_without_a_mask_gives_none(sam: Sam, image: np.ndarray, options: dict[str, Any]) -> None:
    """SA raises IndexError if every crop is empty."""
    generator = SamAutomaticMaskGenerator(sam, 2, pred_iou_thresh=1000, **options)
    assert generator.generate(image) == []
    masks = generator.generate_masks(image)
    assert len(masks) == 0
    assert masks.bbox_xywh.shape == (0, 4)


def test_an_empty_mask_keeps_finite_scores(sam: Sam, image: np.ndarray) -> None:
    sam.mask_threshold, usual = 1e6, sam.mask_threshold
    try:
        masks = SamAutomaticMaskGenerator(sam, 1, **EVERYTHING).generate_masks(image)
    finally:
        sam.mask_threshold = usual
    assert masks.area.tolist() == [0, 0, 0]
    assert masks.stability_score.tolist() == [0, 0, 0]
    assert masks.bbox_xywh.tolist() == [[0, 0, 0, 0]] * 3
    assert not masks.mask(0).any()


def test_a_box_counts_the_last_pixel_minus_the_first(sam: Sam, image: np.ndarray) -> None:
    """As in SA, one less than the extent; `area` and `segmentation` are exact."""
    record = SamAutomaticMaskGenerator(sam, 1, **EVERYTHING).generate(image)[0]
    y, x = record["segmentation"].nonzero()
    assert record["bbox"] == [x.min(), y.min(), x.max() - x.min(), y.max() - y.min()]
    assert record["area"] == len(x)


def test_a_model_of_bgr_images_gets_them(sam: Sam, image: np.ndarray) -> None:
    generator = SamAutomaticMaskGenerator(sam, 2, **EVERYTHING, crop_n_layers=1)
    expected = generator.generate_masks(image)
    sam.image_format = "BGR"
    try:
        assert_equal(generator.generate_masks(np.ascontiguousarray(image[..., ::-1])), expected)
    finally:
        sam.image_format = "RGB"


def test_a_batch_gives_what_each_image_gives(sam: Sam, image: np.ndarray) -> None:
    images = [image, image[:33, :90].copy(), np.ascontiguousarray(image[::-1])]
    generator = SamAutomaticMaskGenerator(sam, 3, crop_n_layers=1, **EVERYTHING)
    for masks, alone in zip(generator.generate_batch(images), images, strict=True):
        assert_equal(masks, generator.generate_masks(alone))
    assert generator.generate_batch([]) == []


def test_a_stream_takes_each_image_when_its_turn_comes(sam: Sam, image: np.ndarray) -> None:
    images = [image, image[:33, :90].copy(), np.ascontiguousarray(image[::-1])]
    generator = SamAutomaticMaskGenerator(sam, 3, tile_size=64, **EVERYTHING)
    taken = 0

    def stream() -> Iterator[np.ndarray]:
        nonlocal taken
        for each in images:
            taken += 1
            yield each

    for number, masks in enumerate(generator.generate_many(stream()), 1):
        assert taken == number, "a CPU gains nothing from images ahead"
        assert generator.idle_since <= time.perf_counter()
        assert_equal(masks, generator.generate_masks(images[number - 1]))
    assert taken == 3


def test_a_stream_gives_the_masks_of_the_images_before_one_that_is_none(sam: Sam, image: np.ndarray) -> None:
    stream = SamAutomaticMaskGenerator(sam, 1).generate_many([image, image[0]])
    next(stream)
    with pytest.raises(ValueError, match=r"uint8 \[100, 3\]"):
        next(stream)


def test_nothing_is_under_way_after_a_fault(
    sam: Sam, image: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = SamAutomaticMaskGenerator(sam, 1)

    def decoder(*_: Any) -> CropDecoder:
        assert generator.idle_since == math.inf
        raise RuntimeError("no masks of this one")

    assert generator.idle_since == -math.inf

    def encoder(*_: Any) -> list[ImageEmbedding]:
        decoder()
        return []

    for part, fails in (("_decoder", decoder), ("_embeddings", encoder)):
        with monkeypatch.context() as patched:
            patched.setattr(SamAutomaticMaskGenerator, part, fails)
            with pytest.raises(RuntimeError, match="no masks of this one"):
                generator.generate(image)
        assert generator.idle_since <= time.perf_counter()


def test_masks_over_the_maximal_area_are_dropped(sam: Sam, image: np.ndarray) -> None:
    every = SamAutomaticMaskGenerator(sam, 2, **EVERYTHING).generate_masks(image)
    limit = float(np.median(every.area)) / image[..., 0].size
    some = SamAutomaticMaskGenerator(sam, 2, max_mask_area=limit, **EVERYTHING).generate_masks(image)
    assert_equal(some, every.select(every.area <= limit * image[..., 0].size))
    assert 0 < len(some) < len(every)


def test_nms_on_masks_keeps_what_shares_a_box_alone(sam: Sam, image: np.ndarray) -> None:
    options = EVERYTHING | {"box_nms_thresh": 0.6}
    by_box = SamAutomaticMaskGenerator(sam, 3, **options).generate_masks(image)
    by_mask = SamAutomaticMaskGenerator(sam, 3, nms_overlap="mask", **options).generate_masks(image)
    assert len(by_mask) > len(by_box)
    for one in range(len(by_mask)):
        for other in range(one):
            both, either = by_mask.mask(one) & by_mask.mask(other), by_mask.mask(one) | by_mask.mask(other)
            assert both.sum() <= 0.6 * either.sum()


def test_tiles_are_labelled_as_images_and_stitched(sam: Sam, image: np.ndarray) -> None:
    options = EVERYTHING | {"crop_nms_thresh": 1}
    masks = SamAutomaticMaskGenerator(sam, 2, tile_size=64, crop_overlap_ratio=0.5, **options).generate_masks(
        image
    )
    tiles = {tuple(box) for box in masks.crop_box_xywh.tolist()}
    assert (0, 0, image.shape[1], image.shape[0]) not in tiles
    assert all(width == height == 64 for _, _, width, height in tiles)
    for index, (x, y, width, height) in enumerate(masks.crop_box_xywh.astype(int).tolist()):
        outside = masks.mask(index)
        outside[y : y + height, x : x + width] = False
        assert not outside.any()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"points_per_side": None}, "points_per_side or point_grids"),
        ({"point_grids": [np.zeros((1, 2))]}, "points_per_side or point_grids"),
        ({"output_mode": "polygons"}, "output_mode must be one of binary_mask"),
        (
            {"points_per_side": None, "point_grids": [np.zeros((1, 2))], "crop_n_layers": 1},
            "needs 2 point_grids",
        ),
        ({"pred_iou_threshold": 0.9}, "pred_iou_threshold"),
        ({"points_per_side": None, "point_grids": 5}, "point_grids must be a list of arrays"),
        ({"points_per_side": None, "point_grids": ["a"]}, r"point_grids\[0\] must be an array \[N, 2\]"),
        ({"decoder": 5}, "decoder must be a function that makes the decoder of a crop, got 5"),
    ],
)
def test_wrong_arguments_are_told(sam: Sam, arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        SamAutomaticMaskGenerator(sam, **arguments)


def test_an_array_that_is_no_image_is_told(sam: Sam) -> None:
    with pytest.raises(ValueError, match="uint8"):
        SamAutomaticMaskGenerator(sam).generate(np.zeros((4, 4), np.uint8))


def test_an_image_too_large_for_run_lengths_is_told(sam: Sam) -> None:
    with pytest.raises(ValueError, match="4295098369 pixels"):
        SamAutomaticMaskGenerator(sam).generate(np.broadcast_to(np.zeros(1, np.uint8), (65537, 65537, 3)))


def test_options_make_the_generator_that_has_them(sam: Sam) -> None:
    options = MaskOptions(points_per_side=5, crop_n_layers=1)
    generator = SamAutomaticMaskGenerator.from_options(sam, options)
    assert generator.options == options
    assert [len(grid) for grid in generator.point_grids] == [25, 25]


@pytest.mark.parametrize("options", [None, {}, 5])
def test_what_are_no_options_is_told(sam: Sam, options: Any) -> None:
    with pytest.raises(ValueError, match="options must be a MaskOptions, got"):
        SamAutomaticMaskGenerator.from_options(sam, options)


def test_no_decoder_is_the_fastest(sam: Sam, image: np.ndarray) -> None:
    given = SamAutomaticMaskGenerator(sam, 1, decoder=None, **EVERYTHING)
    assert_equal(
        given.generate_masks(image), SamAutomaticMaskGenerator(sam, 1, **EVERYTHING).generate_masks(image)
    )


@pytest.mark.parametrize("images", [None, 5, "a.png", np.zeros((4, 4, 3), np.uint8)])
def test_what_is_no_stream_is_told_at_the_call(sam: Sam, images: Any) -> None:
    with pytest.raises(ValueError, match=r"generate_many needs a stream of images, got .*; pass \[image\]"):
        SamAutomaticMaskGenerator(sam, 1).generate_many(images)


# Peak memory is measured for a process, so each of these scripts has its own.
MANY_IMAGES = """
def peak_mb(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
generator = SamAutomaticMaskGenerator(sam, 1, **EVERYTHING)
images = np.random.default_rng(0).integers(0, 256, (10, 24, 40, 3), dtype=np.uint8)
for turn in range(250):
    if turn == 50: settled = peak_mb()
    generator.generate_masks(images[turn % 10, : 14 + turn % 10])
print(peak_mb() - settled)
"""
LARGE_IMAGE = """
def peak_mb(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
image = np.zeros((9000, 12000, 3), dtype=np.uint8)
image[2000:7000, 3000:9000] = 200
generator = SamAutomaticMaskGenerator(sam, 1, **EVERYTHING)
generator.generate_masks(image[:500, :500])
before = peak_mb()
masks = generator.generate_masks(image)
assert len(masks) == 3 and masks.area.max() > 2**24
print(peak_mb() - before)
"""


def growth_mb(script: str, **environment: str) -> float:
    """The number that the script prints; it runs in a new process with the small model as `sam`."""
    here = Path(__file__)
    folders = [str(here.parent), str(here.parents[2] / "stand_in")]
    start = f"import resource, sys; sys.path[:0] = {folders!r}; import numpy as np, torch\n"
    start += "from test_generator import *; torch.set_num_threads(1); sam = small_sam()\n"
    command = [sys.executable, "-c", start + script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


def test_memory_stays_flat_over_hundreds_of_images() -> None:
    assert growth_mb(MANY_IMAGES) < 2  # 10 kB an image


def test_a_hundred_megapixels_take_bounded_memory() -> None:
    # A copy for Pillow (4 bytes a pixel, 412 MB) and blocks of 16 MB. A float a pixel would be 412 MB a mask.
    # With a fixed threshold, larger blocks go back to the system when they are freed. Otherwise glibc raises
    # the threshold during the run: in one run of three it kept some 500 MB of freed blocks.
    assert growth_mb(LARGE_IMAGE, MALLOC_MMAP_THRESHOLD_=str(4 << 20)) < 600


def test_arguments_may_stand_in_the_originals_order(sam: Sam) -> None:
    grids = [np.array([[0.5, 0.5]])]
    generator = SamAutomaticMaskGenerator(
        sam, None, 5, 0.1, 0.2, 0.3, 0.4, 0, 0.5, 0.25, 3, grids, 7, "coco_rle"
    )
    assert generator.options == MaskOptions(
        points_per_batch=5,
        pred_iou_thresh=0.1,
        stability_score_thresh=0.2,
        stability_score_offset=0.3,
        box_nms_thresh=0.4,
        crop_n_layers=0,
        crop_nms_thresh=0.5,
        crop_overlap_ratio=0.25,
        crop_n_points_downscale_factor=3,
        min_mask_region_area=7,
    )
    assert generator.output_mode == "coco_rle"
    np.testing.assert_array_equal(generator.point_grids[0], grids[0])


def test_arguments_given_twice_or_too_many_are_told(sam: Sam) -> None:
    with pytest.raises(TypeError, match="by position and by name: points_per_batch"):
        SamAutomaticMaskGenerator(sam, 4, 5, points_per_batch=6)
    with pytest.raises(TypeError, match="at most 12 arguments"):
        SamAutomaticMaskGenerator(sam, *range(14))
