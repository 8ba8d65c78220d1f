"""Our TwoWayTransformer and MaskDecoder compared with the original's on small random configurations."""

from collections.abc import Callable

import pytest
import torch
from torch.testing import assert_close

from sam_core.model.mask_decoder import MaskDecoder
from sam_core.model.transformer import TwoWayTransformer


def sizes(depth: int = 2) -> dict[str, int]:
    return {"depth": depth, "embedding_dim": 32, "num_heads": 4, "mlp_dim": 48}


@pytest.mark.parametrize("depth", [1, 2, 3])
@torch.no_grad()
def test_transformer(depth: int, segment_anything: object, same_weights: Callable[..., None]) -> None:
    from segment_anything.modeling import TwoWayTransformer as Original

    ours, original = TwoWayTransformer(**sizes(depth)), Original(**sizes(depth))
    same_weights(ours, original)
    image, image_pe, tokens = torch.randn(3, 32, 5, 6), torch.randn(3, 32, 5, 6), torch.randn(3, 7, 32)
    for our_output, output in zip(
        ours(image, image_pe, tokens), original(image, image_pe, tokens), strict=True
    ):
        assert_close(our_output, output, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("multimask", [True, False])
@pytest.mark.parametrize("tokens", [0, 2, 5])
@torch.no_grad()
def test_decoder(
    multimask: bool, tokens: int, segment_anything: object, same_weights: Callable[..., None]
) -> None:
    from segment_anything.modeling import MaskDecoder as Original
    from segment_anything.modeling import TwoWayTransformer as OriginalTransformer

    heads = {
        "transformer_dim": 32,
        "num_multimask_outputs": 3,
        "iou_head_depth": 3,
        "iou_head_hidden_dim": 24,
    }
    ours = MaskDecoder(transformer=TwoWayTransformer(**sizes()), **heads)
    original = Original(transformer=OriginalTransformer(**sizes()), **heads)
    same_weights(ours, original)
    inputs = {
        "image_embeddings": torch.randn(1, 32, 5, 6),
        "image_pe": torch.randn(1, 32, 5, 6),
        "sparse_prompt_embeddings": torch.randn(4, tokens, 32),
        "dense_prompt_embeddings": torch.randn(4, 32, 5, 6),
        "multimask_output": multimask,
    }
    masks, iou = ours(**inputs)
    assert masks.shape == (4, 3 if multimask else 1, 20, 24)
    for our_output, output in zip((masks, iou), original(**inputs), strict=True):
        assert_close(our_output, output, atol=1e-4, rtol=1e-4)
