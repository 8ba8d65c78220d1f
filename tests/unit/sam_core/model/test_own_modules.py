"""Adapters, hooks and wrappers in a model take effect, also in steps that read plain modules' weights."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from small_sam import small_sam
from torch import nn
from torch.nn.utils import parametrize

from sam_core.generator import SamAutomaticMaskGenerator
from sam_core.masks.image_masks import ImageMasks
from sam_core.model.attention import ViTAttention
from sam_core.model.own_modules import are_own
from sam_core.model.sam import Sam
from sam_core.model.tiny_vit import Conv2d_BN
from sam_core.predictor import SamPredictor

pytestmark = pytest.mark.usefixtures("one_thread")
IMAGE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
LOOSE: dict[str, Any] = {"pred_iou_thresh": 0, "stability_score_thresh": 0, "box_nms_thresh": 1}


class Adapted(nn.Module):
    """A layer and the layer that an adapter adds to it, as in LoRA."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.base_layer = layer
        self.added = nn.Linear(layer.in_features, layer.out_features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.base_layer(x) + self.added(x)
        return answer


class Doubled(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return 2 * weight


def doubled(_: nn.Module, __: Any, answer: Any) -> Any:
    return tuple(2 * each for each in answer) if isinstance(answer, tuple) else 2 * answer


def adapt_queries(sam: Sam) -> None:
    attention = sam.mask_decoder.transformer.layers[0].self_attn
    attention.q_proj = Adapted(attention.q_proj)


def adapt_keys(sam: Sam) -> None:
    """The other decoders use only the weights of this layer."""
    attention = sam.mask_decoder.transformer.layers[1].cross_attn_token_to_image
    attention.k_proj = Adapted(attention.k_proj)


def wrap(sam: Sam) -> None:
    class Wrapped(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, *prompts: Any) -> Any:
            return doubled(self, None, self.inner(*prompts))

    sam.mask_decoder = Wrapped(sam.mask_decoder)


def subclass(sam: Sam) -> None:
    class Subclass(type(sam.mask_decoder)):  # type: ignore[misc]
        def forward(self, *prompts: Any) -> Any:
            return doubled(self, None, super().forward(*prompts))

    sam.mask_decoder.__class__ = Subclass


def replace_forward(sam: Sam) -> None:
    forward = sam.mask_decoder.forward
    sam.mask_decoder.forward = lambda *prompts: doubled(sam, None, forward(*prompts))  # type: ignore[method-assign]


def parametrized(sam: Sam) -> None:
    parametrize.register_parametrization(sam.mask_decoder.iou_prediction_head.layers[0], "weight", Doubled())


CHANGES: list[Callable[[Sam], Any]] = [
    adapt_queries,
    adapt_keys,
    wrap,
    subclass,
    replace_forward,
    parametrized,
    lambda sam: sam.mask_decoder.register_forward_hook(doubled),
    lambda sam: sam.mask_decoder.output_upscaling[0].register_forward_hook(doubled),
    lambda sam: sam.prompt_encoder.pe_layer.register_forward_hook(doubled),
]


def sam_of_high_scores() -> Sam:
    """A small model whose masks all pass the lowest threshold."""
    sam = small_sam()
    with torch.no_grad():
        sam.mask_decoder.iou_prediction_head.layers[-1].bias += 20
    return sam


@pytest.mark.parametrize("change", CHANGES)
def test_the_generator_gives_what_the_predictor_gives(change: Callable[[Sam], Any]) -> None:
    torch.manual_seed(0)
    sam = sam_of_high_scores()
    before = by_predictor(sam)
    change(sam)
    masks, predicted_iou, logits = by_predictor(sam)
    assert not (np.allclose(logits, before[2]) and np.allclose(predicted_iou, before[1]))
    ours = by_generator(sam)
    order = np.argsort(-predicted_iou)
    np.testing.assert_allclose(ours.predicted_iou, predicted_iou[order], rtol=1e-4)
    for index, mask in enumerate(masks[order]):
        assert (ours.mask(index) != mask).sum() <= 3


def by_predictor(sam: Sam) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    predictor = SamPredictor(sam)
    predictor.set_image(IMAGE)
    return predictor.predict(np.array([[30, 20]]), np.array([1]))


def by_generator(sam: Sam) -> ImageMasks:
    """The masks of the point in the middle."""
    generator = SamAutomaticMaskGenerator(sam, None, point_grids=[np.array([[0.5, 0.5]])], **LOOSE)
    return generator.generate_masks(IMAGE)


@pytest.mark.parametrize("window_size", [0, 3])
@torch.no_grad()
def test_an_adapter_of_the_encoders_qkv_is_that_of_its_sum(window_size: int) -> None:
    attention, x = ViTAttention(32, 2, 8, window_size, use_rel_pos=True), torch.randn(2, 8, 8, 32)
    merged = copy.deepcopy(attention)
    attention.qkv = Adapted(attention.qkv)  # type: ignore[assignment]
    merged.qkv.weight += attention.qkv.added.weight
    merged.qkv.bias += attention.qkv.added.bias
    torch.testing.assert_close(attention(x), merged(x), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_an_adapter_of_a_convolution_is_that_of_its_sum() -> None:
    layer, x = Conv2d_BN(3, 8, kernel=3).eval(), torch.randn(1, 3, 9, 9)
    expected = layer(x)
    layer.c.register_forward_hook(doubled)
    torch.testing.assert_close(layer(x), 2 * expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_hooks_are_called_and_their_end_is_seen() -> None:
    attention, x, shapes = ViTAttention(32, 2, 8, 3, use_rel_pos=True), torch.randn(1, 8, 8, 32), []
    expected = attention(x)
    for register in (attention.qkv.register_forward_hook, attention.qkv.register_forward_pre_hook):
        handle = register(lambda _, given, *__: shapes.append(given[0].shape))
        assert not are_own(attention)
        torch.testing.assert_close(attention(x), expected, atol=1e-5, rtol=1e-4)
        handle.remove()
    assert are_own(attention)
    assert shapes == [(9, 3, 3, 32)] * 2
