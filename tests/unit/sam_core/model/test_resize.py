"""The resize's errors for wrong arguments; it accepts all arguments that the original accepts."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sam_core.model.resize import ResizeLongestSide

RESIZE, SIZE = ResizeLongestSide(64), (40, 60)
RGB = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


@pytest.mark.parametrize("length", ["a", "64", None, 0, -5, 1.5, np.nan, [64]])
def test_a_length_is_a_whole_number(length: Any) -> None:
    with pytest.raises(ValueError, match="target_length must be a whole number of at least 1, got"):
        ResizeLongestSide(length)


@pytest.mark.parametrize("image", [None, Image.fromarray(RGB), RGB[0, 0], RGB / 255, RGB[:0], RGB[..., :1]])
def test_what_is_no_image_is_told(image: Any) -> None:
    with pytest.raises(ValueError, match="an image must be a numpy array"):
        RESIZE.apply_image(image)


@pytest.mark.parametrize("image", [RGB[..., 0], RGB[..., :2], RGB[..., [0, 1, 2, 0]], RGB[..., ::-1]])
def test_grey_images_and_those_with_alpha_are_resized_too(image: np.ndarray) -> None:
    assert RESIZE.apply_image(image).shape == (43, 64, *image.shape[2:])


@pytest.mark.parametrize("size", [None, 5, "ab", (1, 2, 3), (0, 0), (40, -1)])
@pytest.mark.parametrize("name", ["apply_coords", "apply_boxes", "apply_coords_torch", "apply_boxes_torch"])
def test_a_wrong_size_is_told(name: str, size: Any) -> None:
    values = torch.zeros(2, 4 if "boxes" in name else 2)
    with pytest.raises(ValueError, match=r"original_size must be \(height, width\)"):
        getattr(RESIZE, name)(values if "torch" in name else values.numpy(), size)


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("apply_coords", np.zeros((2, 3)), r"\[..., 2\], x and y, got ndarray \[2, 3\]"),
        ("apply_coords", np.zeros((2, 1)), r"got ndarray \[2, 1\]"),
        ("apply_coords", None, "coordinates must be numbers"),
        ("apply_coords", "ab", "got 'ab'"),
        ("apply_boxes", np.zeros((4, 3)), r"boxes must be numbers \[B, 4\], XYXY, got \[4, 3\]"),
        ("apply_boxes", None, r"got \[\]"),
        ("apply_coords_torch", np.zeros((2, 2)), "must be a tensor .* got ndarray"),
        ("apply_coords_torch", torch.zeros(2, 3), r"got Tensor \[2, 3\]"),
        ("apply_boxes_torch", np.zeros((2, 4)), "must be a tensor .* got ndarray"),
        ("apply_boxes_torch", torch.zeros(4, 3), r"got \[4, 3\]"),
    ],
)
def test_coordinates_and_boxes_of_another_shape_are_told(name: str, values: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        getattr(RESIZE, name)(values, SIZE)


def test_lists_are_taken_as_arrays_are() -> None:
    points, boxes = [[3, 4], [5, 6]], [[3, 4, 5, 6]]
    np.testing.assert_array_equal(
        RESIZE.apply_coords(points, SIZE), RESIZE.apply_coords(np.array(points), SIZE)
    )
    np.testing.assert_array_equal(
        RESIZE.apply_boxes(boxes, SIZE), RESIZE.apply_boxes(np.array(points)[None], SIZE)
    )
    assert RESIZE.apply_boxes(np.array([]), SIZE).shape == (0, 4)


@pytest.mark.parametrize("images", [RGB, torch.zeros(3, 40, 60), torch.zeros(1, 3, 0, 60), None])
def test_what_are_no_images_are_told(images: Any) -> None:
    with pytest.raises(ValueError, match=r"images must be a tensor \[B, C, H, W\] with pixels"):
        RESIZE.apply_image_torch(images)


@pytest.mark.parametrize("arguments", [(0, 0, 64), ("a", 3, 64), (3, None, 64), (3, 4, 0), (3, 4, "a")])
def test_shapes_that_are_none_are_told(arguments: Any) -> None:
    with pytest.raises(ValueError, match="whole number"):
        ResizeLongestSide.get_preprocess_shape(*arguments)
