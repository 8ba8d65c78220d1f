"""A prompt's image tokens as factors, against the transformer, which writes the tokens out."""

import pytest
import torch
from torch.testing import assert_close

from sam_core.decoding.image_side import centred, image_side
from sam_core.decoding.prompt_side import decoded_prompts
from sam_core.model.mask_decoder import MaskDecoder
from sam_core.model.transformer import TwoWayTransformer

DIM, GRID, PROMPTS = 32, (5, 7), 6


@pytest.fixture
def decoder() -> MaskDecoder:
    torch.manual_seed(0)
    decoder = MaskDecoder(transformer_dim=DIM, transformer=TwoWayTransformer(2, DIM, num_heads=4, mlp_dim=48))
    for parameter in decoder.parameters():  # with 0 or 1 a missing term would not show
        torch.nn.init.normal_(parameter, mean=0.1, std=0.3)
    return decoder.eval()


@pytest.mark.parametrize("image_chunk", [1, 4, PROMPTS])
@torch.inference_mode()
def test_factors_are_the_tokens_of_the_plain_transformer(decoder: MaskDecoder, image_chunk: int) -> None:
    embedding, dense, encoding = torch.randn(3, 1, DIM, *GRID).unbind(0)
    sparse = torch.randn(PROMPTS, 2, DIM)
    decoded = decoded_prompts(decoder, image_side(decoder, embedding, dense, encoding), sparse, image_chunk)

    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight]).expand(PROMPTS, -1, -1)
    image = (embedding + dense).expand(PROMPTS, -1, -1, -1)
    tokens, keys = decoder.transformer(image, encoding, torch.cat([own, sparse], dim=1))
    assert_close(
        decoded.predicted_iou_BM, decoder.iou_prediction_head(tokens[:, 0])[:, 1:], atol=1e-5, rtol=1e-5
    )
    assert_close(decoded.mask_tokens_BMC, tokens[:, 2:5], atol=1e-5, rtol=1e-5)
    written_out = torch.cat(
        [written(decoder, (embedding + dense)[0], image) for image in decoded.image_tokens]
    )
    assert_close(written_out, keys, atol=1e-4, rtol=1e-4)


def written(decoder: MaskDecoder, image_CHW: torch.Tensor, tokens: object) -> torch.Tensor:
    """(s x + A U) g + b, the image tokens [B, P, C]."""
    first, second = decoder.transformer.layers
    x_PC = centred(image_CHW.flatten(1).T + first.cross_attn_image_to_token.out_proj.bias)
    x_PC = centred(x_PC * first.norm4.weight)
    inner_BPC = tokens.scale_BP[:, :, None] * x_PC + tokens.factors_BRP.mT @ tokens.values_BRC
    return inner_BPC * second.norm4.weight + second.norm4.bias
