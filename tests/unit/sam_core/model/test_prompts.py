"""An invalid prompt raises one sentence before anything is computed; all valid forms are accepted."""

from typing import Any

import numpy as np
import pytest
import torch
from small_sam import small_sam

from sam_core.model.sam import Sam
from sam_core.predictor import SamPredictor

POINTS, LABELS, BOX = np.array([[3, 4], [5, 6]]), np.array([1, 0]), np.array([0, 0, 9, 9])
SIZE = (40, 60)


@pytest.fixture(scope="module")
def sam() -> Sam:
    return small_sam()


@pytest.fixture(scope="module")
def predictor(sam: Sam) -> SamPredictor:
    predictor = SamPredictor(sam)
    predictor.set_image(np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8))
    return predictor


def told(call: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as refused:
        call()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("points", "labels", "sentence"),
    [
        (POINTS[0], [1], r"\[N, 2\], x and y, got ndarray \[2\]"),
        (POINTS[None], [[1, 0]], r"\[N, 2\], x and y, got ndarray \[1, 2, 2\]"),
        (np.zeros((2, 3)), LABELS, r"\[N, 2\], x and y, got ndarray \[2, 3\]"),
        ("ab", LABELS, r"got 'ab'"),
        ([[1, 2], [3]], LABELS, r"got \[\[1, 2\], \[3\]\]"),
        ([[1, np.nan], [3, 4]], LABELS, r"finite numbers \[N, 2\], x and y, got \[1.0, nan\]"),
        (torch.zeros(1, 2, requires_grad=True), [1], r"pass its .detach\(\)"),
        (POINTS, None, "one label per point"),
        (POINTS, [1], r"one label per point: .* got ndarray \[1\] for 2 points"),
        (POINTS, 1, r"got ndarray \[\] for 2 points"),
        (POINTS, [[1], [0]], r"got ndarray \[2, 1\] for 2 points"),
        (POINTS, "ab", "got 'ab'"),
        (POINTS, [1, 7], "got 7"),
        (POINTS, [1, 0.5], "got 0.5"),
        (POINTS, [1, np.nan], "got nan"),
    ],
)
def test_points_that_are_none_are_told(
    predictor: SamPredictor, points: Any, labels: Any, sentence: str
) -> None:
    told(lambda: predictor.predict(points, labels), sentence)


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ({"box": "abcd"}, r"box must be finite numbers \[4\], XYXY, got 'abcd'"),
        ({"box": [None] * 4}, r"got \[nan, nan, nan, nan\]"),
        ({"box": [0, 0, np.inf, 9]}, "got .*inf"),
        ({"box": [0, 0, 9]}, r"one box \[4\], got \[3\]"),
        ({"box": torch.zeros(2, 4)}, r"one box \[4\], got \[2, 4\]"),
        ({"mask_input": np.zeros((16, 16))}, r"\[1, 16, 16\], got ndarray \[16, 16\]"),
        ({"mask_input": torch.zeros(1, 8, 8)}, r"\[1, 16, 16\], got Tensor \[1, 8, 8\]"),
        ({"mask_input": np.zeros((3, 16, 16))}, r"\[1, 16, 16\], got ndarray \[3, 16, 16\]"),
        ({"mask_input": "m"}, "got 'm'"),
    ],
)
def test_boxes_and_masks_that_are_none_are_told(
    predictor: SamPredictor, prompt: dict[str, Any], sentence: str
) -> None:
    told(lambda: predictor.predict(**prompt), sentence)


@pytest.mark.parametrize(
    ("points", "labels", "box", "mask"),
    [
        (torch.tensor(POINTS), torch.tensor(LABELS), torch.tensor(BOX), torch.zeros(1, 16, 16)),
        (POINTS.tolist(), LABELS.tolist(), BOX.tolist(), np.zeros((1, 16, 16)).tolist()),
        (POINTS.astype(np.float32), LABELS.astype(bool), BOX[None], np.zeros((1, 16, 16), bool)),
        (tuple(map(tuple, POINTS)), LABELS.astype(float), BOX.reshape(2, 2), np.zeros((1, 16, 16))),
    ],
)
def test_prompts_may_be_tensors_lists_and_arrays(
    predictor: SamPredictor, points: Any, labels: Any, box: Any, mask: Any
) -> None:
    expected = predictor.predict(POINTS, LABELS, BOX, np.zeros((1, 16, 16), np.float32))
    for ours, theirs in zip(predictor.predict(points, labels, box, mask), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


WRONG_TENSORS: list[tuple[dict[str, Any], str]] = [
    ({"point_coords": POINTS[None], "point_labels": LABELS[None]}, "must be a tensor .* got ndarray"),
    ({"point_coords": [[[1, 2]]], "point_labels": [[1]]}, r"must be a tensor .* got \[\[\[1, 2\]\]\]"),
    ({"point_coords": torch.zeros(1, 2), "point_labels": torch.zeros(1)}, r"got Tensor \[1, 2\]"),
    ({"point_coords": torch.zeros(1, 1, 2)}, "one label per point"),
    ({"point_coords": torch.zeros(1, 1, 2), "point_labels": np.zeros((1, 1))}, "got ndarray"),
    (
        {"point_coords": torch.zeros(2, 1, 2), "point_labels": torch.zeros(1, 1)},
        r"Tensor \[1, 1\] for points \[2, 1, 2\]",
    ),
    ({"boxes": np.zeros((1, 4))}, r"boxes must be a tensor \[B, 4\], XYXY, got ndarray \[1, 4\]"),
    ({"boxes": torch.zeros(1, 3)}, r"boxes must be a tensor \[B, 4\], XYXY, got \[1, 3\]"),
    ({"boxes": torch.zeros(4, 3)}, r"got \[4, 3\]"),
    (
        {
            "point_coords": torch.zeros(1, 1, 2),
            "point_labels": torch.zeros(1, 1),
            "boxes": torch.zeros(2, 4),
        },
        "the points of 1 prompts came with 2 boxes",
    ),
    ({"mask_input": torch.zeros(1, 16, 16)}, r"\[B, 1, 16, 16\], got Tensor \[1, 16, 16\]"),
    ({"mask_input": torch.zeros(1, 1, 4, 4)}, r"\[B, 1, 16, 16\], got Tensor \[1, 1, 4, 4\]"),
    ({"mask_input": np.zeros((1, 1, 16, 16))}, "got ndarray"),
    ({"boxes": torch.zeros(3, 4), "mask_input": torch.zeros(2, 1, 16, 16)}, "3 prompts came with 2 masks"),
]


@pytest.mark.parametrize(("prompt", "sentence"), WRONG_TENSORS)
def test_tensors_that_are_no_prompts_are_told(
    predictor: SamPredictor, prompt: dict[str, Any], sentence: str
) -> None:
    told(lambda: predictor.predict_torch(**{"point_coords": None, "point_labels": None} | prompt), sentence)


@pytest.mark.parametrize(("prompt", "sentence"), WRONG_TENSORS)
def test_the_model_itself_tells_them_with_the_inputs_number(
    sam: Sam, prompt: dict[str, Any], sentence: str
) -> None:
    good = {"image": torch.zeros(3, 64, 64), "original_size": SIZE}
    bad = good | {name.replace("mask_input", "mask_inputs"): value for name, value in prompt.items()}
    told(lambda: sam([good, bad], False), rf"batched_input\[1\]: .*{sentence}")


@pytest.mark.parametrize(
    ("batch", "sentence"),
    [
        (None, "batched_input must be a list .* got None"),
        ([], r"one or more images, got \[\]"),
        ({"image": torch.zeros(3, 64, 64)}, r"got a dict; pass \[record\]"),
        (["image"], r"batched_input\[0\] must be a dictionary with image and original_size, got 'image'"),
        ([{}], r"batched_input\[0\] has no image and no original_size"),
        ([{"image": torch.zeros(3, 64, 64)}], "has no original_size"),
        (
            [{"image": torch.zeros(3, 64, 64), "original_size": (0, 0)}],
            r"original_size must be .* got \(0, 0\)",
        ),
        ([{"image": np.zeros((64, 64, 3)), "original_size": SIZE}], r"not a tensor \[3, h, w\] .*ndarray"),
        ([{"image": torch.zeros(3, 90, 64), "original_size": SIZE}], "a longest side of 64"),
    ],
)
def test_inputs_of_the_model_that_lack_something_are_told(sam: Sam, batch: Any, sentence: str) -> None:
    told(lambda: sam(batch, False), sentence)


@pytest.mark.parametrize(
    "size", [None, 5, "ab", "12", (3, 4, 5), (0, 0), (1.5, 2), (-4, 4), (4, np.nan), {64, 48}, {64: 1, 48: 2}]
)
def test_a_wrong_size_leaves_the_image_that_is_set(predictor: SamPredictor, size: Any) -> None:
    before = predictor.features
    told(
        lambda: predictor.set_torch_image(torch.zeros(1, 3, 64, 64), size),
        "original_image_size must be .*height",
    )
    assert predictor.features is before
    assert predictor.original_size == SIZE


@pytest.mark.parametrize("size", [[40, 60], np.array(SIZE), torch.tensor(SIZE), torch.Size(SIZE)])
def test_a_size_may_be_any_two_whole_numbers(sam: Sam, size: Any) -> None:
    predictor = SamPredictor(sam)
    predictor.set_torch_image(torch.zeros(1, 3, 43, 64), size)
    assert predictor.original_size == SIZE
    assert predictor.predict(POINTS, LABELS)[0].shape == (3, *SIZE)


@pytest.mark.parametrize("model", [None, "vit_t", torch.nn.Identity()])
def test_what_is_no_model_is_told(model: Any) -> None:
    told(lambda: SamPredictor(model), "a predictor needs a model from sam_core.sam_model_registry")
