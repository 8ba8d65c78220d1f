"""The columns that leave the generator, and the records made from them."""

import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from sam_core.masks.image_masks import OUTPUT_MODES, ImageMasks, joined_masks
from sam_core.masks.rle import compressed_counts, runs_of_mask


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).random((3, 6, 9)) < 0.4


@pytest.fixture
def masks(pixels: np.ndarray) -> ImageMasks:
    return ImageMasks(
        6,
        9,
        [compressed_counts(runs_of_mask(mask)) for mask in pixels],
        pixels.sum((1, 2)),
        np.array([[0, 0, 8, 5], [1, 0, 6, 5], [0, 1, 8, 3]], dtype=np.float32),
        np.array([0.99, 0.95, 0.9], dtype=np.float32),
        np.array([0.98, 0.97, 0.96], dtype=np.float32),
        np.array([[1.5, 2], [3, 4], [5, 5.5]], dtype=np.float32),
        np.tile(np.array([0, 0, 9, 6], dtype=np.float32), (3, 1)),
    )


@pytest.mark.parametrize("output_mode", OUTPUT_MODES)
def test_records_have_the_keys_and_the_mask_of_the_original(
    masks: ImageMasks, pixels: np.ndarray, output_mode: str
) -> None:
    for record, mask in zip(masks.records(output_mode), pixels, strict=True):
        assert list(record) == [
            "segmentation",
            "area",
            "bbox",
            "predicted_iou",
            "point_coords",
            "stability_score",
            "crop_box",
        ]
        segmentation = record["segmentation"]
        if output_mode == "uncompressed_rle":
            segmentation = coco_mask.frPyObjects(segmentation, *segmentation["size"])
        drawn = segmentation if output_mode == "binary_mask" else coco_mask.decode(segmentation)
        np.testing.assert_array_equal(drawn, mask)
        assert record["area"] == mask.sum()
        if output_mode != "binary_mask":
            json.dumps(record)


def test_a_form_or_a_mask_that_there_is_not_is_named(masks: ImageMasks) -> None:
    with pytest.raises(
        ValueError, match=r"output_mode is 'coco'; give one of binary_mask, uncompressed_rle, coco"
    ):
        masks.records("coco")  # type: ignore[arg-type]
    for index in (3, -4):
        with pytest.raises(IndexError, match=f"there is no mask {index} among 3"):
            masks.mask(index)
    np.testing.assert_array_equal(masks.mask(-1), masks.mask(2))
    for wrong in (None, "a", 1.5, [0], np.array([0, 1])):
        with pytest.raises(TypeError, match=r"the position of a mask is .*; give one whole number"):
            masks.mask(wrong)  # type: ignore[arg-type]


def test_points_and_boxes_of_a_record(masks: ImageMasks) -> None:
    record = masks.records("coco_rle")[0]
    assert record["point_coords"] == [[1.5, 2.0]]
    assert record["bbox"] == [0, 0, 8, 5]
    assert record["crop_box"] == [0, 0, 9, 6]
    assert masks.box_xyxy().tolist() == [[0, 0, 8, 5], [1, 0, 7, 5], [0, 1, 8, 4]]


def test_some_masks_by_place_and_by_claim(masks: ImageMasks, pixels: np.ndarray) -> None:
    for index in (np.array([2, 0]), np.array([True, False, True])):
        chosen = masks.select(index)
        assert chosen.predicted_iou.tolist() == masks.predicted_iou[index].tolist()
        np.testing.assert_array_equal(chosen.mask(0), pixels[index][0])
    assert len(masks.select(np.zeros(3, dtype=bool))) == len(masks.select(())) == 0
    assert masks.select((0, 1)).counts == masks.counts[:2]
    with pytest.raises(TypeError, match="masks are chosen by a list of positions"):
        masks.select(False)  # type: ignore[arg-type]
    with pytest.raises(IndexError, match="there is no mask 3 among 3"):
        masks.select([3])


def test_parts_joined_are_the_whole(masks: ImageMasks) -> None:
    parts = [
        masks.select(np.array([0])),
        masks.select(np.empty(0, dtype=np.int64)),
        masks.select(np.array([1, 2])),
    ]
    whole = joined_masks(parts)
    assert whole.counts == masks.counts
    np.testing.assert_array_equal(whole.bbox_xywh, masks.bbox_xywh)
