"""Our whole Sam and SamPredictor compared with the original's on a small random model."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from sam_core.model.build import build_sam
from sam_core.model.presets import SamPreset, VitPreset
from sam_core.model.resize import ResizeLongestSide, fitted_size
from sam_core.model.sam import Sam
from sam_core.predictor import SamPredictor

PRESET = SamPreset(
    VitPreset(32, depth=2, num_heads=4, global_attn_indexes=(1,), img_size=128, window_size=3, out_chans=32),
    decoder_num_heads=4,
    decoder_mlp_dim=48,
)
SIZES = [
    (60, 100),
    (100, 60),
    (128, 128),
    (37, 41),
    (301, 200),
]  # (height, width), smaller and larger than 128


@pytest.fixture
def both(original_sam: Callable[..., nn.Module], same_weights: Callable[..., None]) -> tuple[Sam, Any]:
    ours, original = build_sam(PRESET), original_sam(PRESET)
    same_weights(ours, original)
    return ours, original


def photo(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("multimask", [True, False])
def test_batched_forward(both: tuple[Sam, Any], multimask: bool) -> None:
    torch.manual_seed(0)
    point = {"point_coords": torch.rand(2, 3, 2) * 100, "point_labels": torch.tensor([[1, 0, 1], [0, 1, -1]])}
    prompts = [point, {"boxes": torch.rand(4, 4) * 100}, {**point, "boxes": torch.rand(2, 4) * 100}, {}]
    prompts.append({**point, "mask_inputs": torch.randn(2, 1, 32, 32)})
    batch = []
    for prompt, size in zip(prompts, SIZES, strict=True):
        image = torch.rand(3, *fitted_size(*size, 128)) * 255
        batch.append({"image": image, "original_size": size, **prompt})
    ours, original = both
    answers = zip(ours(batch, multimask), original(batch, multimask), strict=True)
    for our_answer, answer in answers:
        assert our_answer.keys() == answer.keys()
        assert_close(our_answer["iou_predictions"], answer["iou_predictions"], atol=1e-4, rtol=1e-4)
        assert_close(our_answer["low_res_logits"], answer["low_res_logits"], atol=1e-4, rtol=1e-4)
        differing = (our_answer["masks"] != answer["masks"]).float().mean()  # logits that round across 0
        assert our_answer["masks"].shape == answer["masks"].shape
        assert differing < 1e-3


@pytest.mark.parametrize("size", SIZES)
def test_frames(both: tuple[Sam, Any], size: tuple[int, int]) -> None:
    ours, original = both
    from segment_anything.utils.transforms import ResizeLongestSide as Original

    resize, reference = ResizeLongestSide(128), Original(128)
    image, coords = photo(*size), np.random.default_rng(0).random((5, 2)) * 60
    fitted = resize.apply_image(image)
    np.testing.assert_array_equal(fitted, reference.apply_image(image))
    np.testing.assert_allclose(resize.apply_coords(coords, size), reference.apply_coords(coords, size))
    boxes = coords[:4].reshape(2, 4)
    np.testing.assert_allclose(resize.apply_boxes(boxes, size), reference.apply_boxes(boxes, size))
    boxes = torch.from_numpy(boxes)
    assert_close(resize.apply_boxes_torch(boxes, size), reference.apply_boxes_torch(boxes, size))
    coords = torch.from_numpy(coords)
    assert_close(resize.apply_coords_torch(coords, size), reference.apply_coords_torch(coords, size))
    pixels = torch.from_numpy(fitted).permute(2, 0, 1)[None]
    assert_close(ours.preprocess(pixels), original.preprocess(pixels))
    logits = torch.randn(2, 3, 32, 32)
    input_size = fitted.shape[:2]
    assert_close(
        ours.postprocess_masks(logits, input_size, size), original.postprocess_masks(logits, input_size, size)
    )


@pytest.mark.parametrize("size", SIZES)
def test_images_as_tensors(segment_anything: ModuleType, size: tuple[int, int]) -> None:
    """The original's method with the real height and width; it uses B and C in their place."""
    from segment_anything.utils.transforms import ResizeLongestSide as Original

    class Mended(Original):
        @staticmethod
        def get_preprocess_shape(oldh: int, oldw: int, long_side_length: int) -> tuple[int, int]:
            assert (oldh, oldw) == (1, 3)
            return Original.get_preprocess_shape(*size, long_side_length)

    image = photo(*size)
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    resized = ResizeLongestSide(128).apply_image_torch(pixels)
    assert_close(resized, Mended(128).apply_image_torch(pixels))
    fitted = torch.from_numpy(ResizeLongestSide(128).apply_image(image)).permute(2, 0, 1)[None]
    assert (resized - fitted).abs().max() <= 1


def test_fitted_sizes(segment_anything: ModuleType) -> None:
    from segment_anything.utils.transforms import ResizeLongestSide as Original

    random = np.random.default_rng(0)
    for height, width in [
        (1, 3),
        (3, 2),
        (1024, 1024),
        (683, 1024),
        *random.integers(1, 5000, (2000, 2)).tolist(),
    ]:
        expected = Original.get_preprocess_shape(height, width, 1024)
        assert fitted_size(height, width, 1024) == tuple(max(1, side) for side in expected)


def test_every_norm_has_the_originals_epsilon(both: tuple[Sam, Any]) -> None:
    """A random model's outputs hardly show this."""
    ours, original = (
        {name: module.eps for name, module in sam.named_modules() if hasattr(module, "eps")} for sam in both
    )
    assert ours == original
    assert set(ours.values()) == {1e-5, 1e-6}


@pytest.mark.parametrize("image_format", ["RGB", "BGR"])
def test_predictor(both: tuple[Sam, Any], segment_anything: ModuleType, image_format: str) -> None:
    ours, original = SamPredictor(both[0]), segment_anything.SamPredictor(both[1])
    image = photo(90, 120)
    ours.set_image(image, image_format)
    original.set_image(image, image_format)
    assert_close(ours.get_image_embedding(), original.get_image_embedding(), atol=1e-4, rtol=1e-4)
    assert (ours.original_size, ours.input_size) == (original.original_size, original.input_size)

    points = {"point_coords": np.array([[30, 40], [80, 20]]), "point_labels": np.array([1, 0])}
    box = {"box": np.array([10, 20, 70, 80])}
    low_res = original.predict(**points, multimask_output=False)[2]
    for prompt in (points, box, {**points, **box}, {**points, "mask_input": low_res}, {}):
        for multimask in (True, False):
            arguments = {**prompt, "multimask_output": multimask, "return_logits": True}
            our_answer, answer = ours.predict(**arguments), original.predict(**arguments)
            for our_part, part in zip(our_answer, answer, strict=True):
                np.testing.assert_allclose(our_part, part, atol=1e-4, rtol=1e-4)
            masks = ours.predict(**{**arguments, "return_logits": False})[0]
            np.testing.assert_array_equal(masks, our_answer[0] > 0)


@pytest.mark.parametrize(("prompts", "masks"), [(3, 1), (1, 3), (3, 3)])
@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float32])
def test_masks_and_labels_of_torch_prompts(
    both: tuple[Sam, Any], segment_anything: ModuleType, prompts: int, masks: int, dtype: torch.dtype
) -> None:
    """One mask works with all prompts, one prompt with all masks, and labels have any dtype."""
    torch.manual_seed(0)
    arguments = (torch.rand(prompts, 2, 2) * 80, torch.tensor([[1, 0]] * prompts).to(dtype), None)
    mask_input, answers = torch.randn(masks, 1, 32, 32), []
    for predictor in (SamPredictor(both[0]), segment_anything.SamPredictor(both[1])):
        predictor.set_image(photo(90, 120))
        answers.append(predictor.predict_torch(*arguments, mask_input, return_logits=True))
    for our_part, part in zip(*answers, strict=True):
        assert_close(our_part, part, atol=1e-4, rtol=1e-4)


def test_predictor_with_torch_prompts(both: tuple[Sam, Any], segment_anything: ModuleType) -> None:
    ours, original = SamPredictor(both[0]), segment_anything.SamPredictor(both[1])
    pixels = torch.randint(0, 256, (1, 3, 80, 128), dtype=torch.uint8)
    boxes = torch.tensor([[10.0, 5, 60, 70], [0, 0, 30, 30], [50, 50, 99, 60]])
    for predictor in (ours, original):
        predictor.set_torch_image(pixels, (160, 256))
    fitted = ours.transform.apply_boxes_torch(boxes, (160, 256))
    our_answer = ours.predict_torch(None, None, fitted, return_logits=True)
    answer = original.predict_torch(None, None, fitted, return_logits=True)
    for our_part, part in zip(our_answer, answer, strict=True):
        assert_close(our_part, part, atol=1e-4, rtol=1e-4)
