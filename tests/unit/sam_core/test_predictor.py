"""The errors of predictor and encoder for wrong input; and extreme sizes work."""

import numpy as np
import pytest
import torch

from sam_core.model.build import build_sam
from sam_core.model.presets import SamPreset, VitPreset
from sam_core.model.resize import fitted_size
from sam_core.model.sam import Sam
from sam_core.predictor import SamPredictor

PRESET = SamPreset(
    VitPreset(16, depth=1, num_heads=2, global_attn_indexes=(), img_size=64, window_size=3, out_chans=16),
    decoder_num_heads=2,
    decoder_mlp_dim=16,
)


@pytest.fixture
def sam() -> Sam:
    torch.manual_seed(0)
    return build_sam(PRESET)


def test_prompts_before_an_image_are_refused(sam: Sam) -> None:
    predictor = SamPredictor(sam)
    assert not predictor.is_image_set
    with pytest.raises(RuntimeError, match="call set_image"):
        predictor.predict()
    predictor.set_image(np.zeros((4, 4, 3), np.uint8))
    assert predictor.is_image_set
    predictor.reset_image()
    with pytest.raises(RuntimeError, match="call set_image"):
        predictor.get_image_embedding()


def test_points_without_labels_are_refused(sam: Sam) -> None:
    predictor = SamPredictor(sam)
    predictor.set_image(np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match="one label per point"):
        predictor.predict(point_coords=np.zeros((1, 2)))


def test_kept_features_are_restored_as_scripts_do_it(sam: Sam) -> None:
    image, prompt = np.arange(48 * 30 * 3, dtype=np.uint8).reshape(48, 30, 3), np.array([[10, 20]])
    first, other = SamPredictor(sam), SamPredictor(sam)
    first.set_image(image)
    other.features = first.get_image_embedding().clone()
    other.original_size, other.input_size, other.is_image_set = (48, 30), (64, 40), True
    for kept, made in zip(other.predict(prompt, [1]), first.predict(prompt, [1]), strict=True):
        np.testing.assert_array_equal(kept, made)
    other.reset_image()
    assert other.features is None
    assert not other.is_image_set


def test_sizes_are_those_of_the_image_and_none_without_one(sam: Sam) -> None:
    predictor = SamPredictor(sam)
    names = ("orig_h", "orig_w", "input_h", "input_w")
    assert [getattr(predictor, name) for name in names] == [None] * 4
    predictor.set_image(np.zeros((48, 30, 3), np.uint8))
    assert [getattr(predictor, name) for name in names] == [48, 30, 64, 40]


def test_an_encoder_of_a_subclass_is_used(sam: Sam) -> None:
    class Doubled(SamPredictor):
        def set_torch_image(self, transformed_image: torch.Tensor, original_image_size: tuple) -> None:
            super().set_torch_image(transformed_image, original_image_size)
            self.features = self.features * 2

    image = np.zeros((4, 4, 3), np.uint8)
    predictor = Doubled(sam)
    predictor.set_image(image)
    torch.testing.assert_close(predictor.features, 2 * sam.encode(image).features_1Chw)


def test_several_boxes_at_a_time_are_refused(sam: Sam) -> None:
    predictor = SamPredictor(sam)
    predictor.set_image(np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match=r"one box \[4\], got \[2, 4\]"):
        predictor.predict(box=np.zeros((2, 4)))


def test_unknown_formats_and_tensors_are_refused(sam: Sam) -> None:
    predictor = SamPredictor(sam)
    with pytest.raises(ValueError, match="RGB or BGR"):
        predictor.set_image(np.zeros((4, 4, 3), np.uint8), "HSV")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="longest side of 64"):
        predictor.set_torch_image(torch.zeros(1, 3, 32, 32), (32, 32))
    with pytest.raises(ValueError, match="got ndarray"):
        predictor.set_torch_image(np.zeros((1, 3, 64, 32)), (32, 32))  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 63)])
def test_thin_images_are_encoded(sam: Sam, size: tuple[int, int]) -> None:
    predictor = SamPredictor(sam)
    predictor.set_image(np.zeros((*size, 3), np.uint8))
    masks, _, _ = predictor.predict(np.array([[0, 0]]), np.array([1]))
    assert masks.shape == (3, *size)
    assert min(fitted_size(*size, 64)) >= 1


def test_a_batch_gives_what_its_images_give_alone(sam: Sam) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((30, 50), (64, 64), (90, 20))]
    for image, embedding in zip(images, sam.encode_batch(images), strict=True):
        alone = sam.encode(image)
        torch.testing.assert_close(embedding.features_1Chw, alone.features_1Chw, atol=1e-5, rtol=1e-5)
        assert (embedding.input_size, embedding.original_size) == (alone.input_size, image.shape[:2])


def test_bfloat16_embeddings_come_back_in_float32_and_close(sam: Sam) -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 64, 3), dtype=np.uint8)
    exact, rough = (sam.encode(image, dtype).features_1Chw for dtype in (torch.float32, torch.bfloat16))
    assert rough.dtype == torch.float32
    assert 0 < (rough - exact).abs().max() < 0.1
