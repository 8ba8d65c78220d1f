"""Vectors of masks, against the definition, pixel by pixel; all other results of an image stay the same."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from small_sam import small_sam

from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.mask_embedding import View, image_embedding_of, with_embeddings
from sam_core.generator import SamAutomaticMaskGenerator
from sam_core.masks.candidates import Candidates
from sam_core.masks.crops import labelled_crops
from sam_core.masks.image_masks import ImageMasks
from sam_core.masks.rle import compressed_counts, runs_of_mask
from sam_core.model.sam import ImageEmbedding, Sam
from sam_core.options import MaskOptions

LOOSE = {"points_per_side": 2, "pred_iou_thresh": 0, "stability_score_thresh": 0, "box_nms_thresh": 1}


@pytest.fixture(scope="module")
def sam() -> Sam:
    return small_sam()


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    small = np.random.default_rng(3).integers(0, 256, (5, 7, 3), np.uint8)
    return np.repeat(np.repeat(small, 9, 0), 9, 1)[:, :58]  # 45 x 58


def masks_of(sam: Sam, image: np.ndarray, **options: Any) -> ImageMasks:
    return SamAutomaticMaskGenerator(sam, **LOOSE | options).generate_masks(image)


class Squares:
    """A decoder that draws a square of 5 x 5 pixels around each point, so that crops keep their masks."""

    def __init__(self, sam: Sam, features: torch.Tensor, frame: CropFrame, options: MaskOptions) -> None:
        self.frame = frame

    def candidates(self, points_N2: np.ndarray) -> Candidates:
        masks = np.zeros((len(points_N2), self.frame.height, self.frame.width), bool)
        boxes = np.array([[x - 2, y - 2, x + 2, y + 2] for x, y in points_N2.astype(int)])
        for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
            mask[y0 : y1 + 1, x0 : x1 + 1] = True
        scores = np.linspace(0.9, 1, len(masks), dtype=np.float32)
        return Candidates(
            scores,
            scores,
            masks.sum((1, 2)),
            boxes,
            np.arange(len(masks)),
            lambda order: (runs_of_mask(masks[index]) for index in order),
        )


def squares_of(sam: Sam, image: np.ndarray, **options: Any) -> ImageMasks:
    generator = SamAutomaticMaskGenerator(sam, decoder=Squares, mask_embeddings=True, **LOOSE | options)
    return generator.generate_masks(image)


def mean_by_pixels(mask_HW: np.ndarray, features_Chw: np.ndarray, input_size: tuple[int, int]) -> np.ndarray:
    """The definition in small steps: evenly spread sample points of each pixel read the cell they lie in."""
    height, width = mask_HW.shape
    steps = 20
    total, count = np.zeros(len(features_Chw)), 0
    for y, x in zip(*np.nonzero(mask_HW), strict=True):
        rows = (y + (np.arange(steps) + 0.5) / steps) * input_size[0] / height / 16
        columns = (x + (np.arange(steps) + 0.5) / steps) * input_size[1] / width / 16
        cells = features_Chw[:, rows.astype(int)][:, :, columns.astype(int)]
        total, count = total + cells.mean((1, 2)), count + 1
    return total / max(count, 1)


def assert_close(vectors: np.ndarray, expected: np.ndarray) -> None:
    assert vectors.dtype == np.float16
    np.testing.assert_allclose(vectors.astype(float), expected, rtol=2e-3, atol=5e-3)


def test_a_vector_is_the_mean_over_the_masks_pixels(sam: Sam, image: np.ndarray) -> None:
    masks = masks_of(sam, image, mask_embeddings=True)
    assert len(masks) > 4
    embedding = sam.encode(image)
    features = embedding.features_1Chw[0].numpy()
    assert embedding.input_size == (50, 64)  # a cell's row and a bit are padding
    for index in range(5):
        expected = mean_by_pixels(masks.mask(index), features, embedding.input_size)
        assert_close(masks.embedding[index], expected)
    everything = mean_by_pixels(np.ones(image.shape[:2], bool), features, embedding.input_size)
    assert_close(masks.image_embedding, everything)


def test_a_mask_of_one_pixel_has_its_cells_features_and_one_of_none_has_zeros(sam: Sam) -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    masks = masks_of(sam, image)
    pixel = np.zeros((64, 64), bool)
    pixel[9, 40] = True
    counts = [compressed_counts(runs_of_mask(mask)) for mask in (pixel, np.zeros_like(pixel))]
    masks = replace(masks.select(np.arange(2)), counts=counts)
    embedding = sam.encode(image)
    described = with_embeddings(masks, View((0, 0, 64, 64), embedding, 64))
    assert_close(described.embedding[0], embedding.features_1Chw[0, :, 0, 2].numpy())
    assert not described.embedding[1].any()


@pytest.mark.parametrize(
    "options", [{}, {"crop_n_layers": 1}, {"min_mask_region_area": 9}, {"nms_overlap": "mask"}]
)
def test_masks_are_the_same_with_and_without(sam: Sam, image: np.ndarray, options: dict[str, Any]) -> None:
    plain = masks_of(sam, image, **options)
    described = masks_of(sam, image, mask_embeddings=True, **options)
    assert plain.embedding is None
    assert plain.image_embedding is None
    assert len(described.embedding) == len(plain) > 0
    bare = replace(described, embedding=None, image_embedding=None)
    assert repr(bare) == repr(plain)
    assert bare.records("coco_rle") == plain.records("coco_rle")


def test_masks_of_deeper_crops_are_described_by_the_whole_image(sam: Sam) -> None:
    image = np.random.default_rng(5).integers(0, 256, (150, 200, 3), np.uint8)
    masks = squares_of(sam, image, crop_n_layers=1)
    assert (masks.crop_box_xywh[:, 2] < 200).sum() > 4
    whole = with_embeddings(masks, View((0, 0, 200, 150), sam.encode(image), 64))
    assert np.array_equal(whole.embedding, masks.embedding)
    assert np.array_equal(whole.image_embedding, masks.image_embedding)


def test_masks_of_a_tile_are_described_by_it_and_the_image_by_all(sam: Sam) -> None:
    image = np.random.default_rng(5).integers(0, 256, (130, 200, 3), np.uint8)
    options = {"tile_size": 120}
    masks = squares_of(sam, image, **options)
    crops = labelled_crops(130, 200, MaskOptions(**LOOSE | options))
    parts = []
    for crop in crops:
        x0, y0, x1, y1 = crop.xyxy
        own = (masks.crop_box_xywh == [x0, y0, x1 - x0, y1 - y0]).all(axis=1)
        view = View(crop.xyxy, sam.encode(image[y0:y1, x0:x1]), 64)
        parts.append(with_embeddings(masks.select(own), view))
        assert np.array_equal(parts[-1].embedding, masks.embedding[own])
    assert len(crops) > 1
    assert sum(map(len, parts)) == len(masks) > len(crops)
    assert np.array_equal(masks.image_embedding, image_embedding_of(crops, parts))
    assert_close(masks.image_embedding, np.mean([part.image_embedding for part in parts], axis=0))


def test_vectors_follow_their_masks_and_records_name_them_only_if_asked(sam: Sam, image: np.ndarray) -> None:
    generator = SamAutomaticMaskGenerator(sam, **LOOSE, mask_embeddings=True, output_mode="coco_rle")
    masks = generator.generate_masks(image)
    last_first = masks.select(np.arange(len(masks))[::-1])
    assert np.array_equal(last_first.embedding[0], masks.embedding[-1])
    assert "embedding" not in generator.generate(image)[0]
    asked = masks.records("coco_rle", embeddings=True)
    assert np.array_equal(asked[1]["embedding"], masks.embedding[1])


@pytest.mark.parametrize("value", [float("nan"), 7e4])
def test_features_that_float16_cannot_hold_are_refused(sam: Sam, image: np.ndarray, value: float) -> None:
    features = torch.full((1, 32, 4, 4), value)
    view = View((0, 0, 58, 45), ImageEmbedding(features, (50, 64), (45, 58)), 64)
    with pytest.raises(ValueError, match="not finite in float16"):
        with_embeddings(masks_of(sam, image), view)
