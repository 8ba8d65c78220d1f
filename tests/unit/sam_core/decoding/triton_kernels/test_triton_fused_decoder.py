"""The whole fused decoder beside plain torch: the bundled weights, a photo's corner, 16 x 16 positions."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image
from small_sam import bundled_sam, small_sam

from sam_core.decoding.image_side import ImageSide, crop_side
from sam_core.decoding.prompt_side import DecodedPrompts, decoded_prompts
from sam_core.decoding.triton.fused_decoder import FusedDecoder, FusedPrompts, serves
from sam_core.decoding.triton.image_side_maps import FusedSide, ImageSideMaps
from sam_core.decoding.triton.prompt_start import PromptStart, prompt_start
from sam_core.decoding.triton.upscale import drawn, drawn_exactly
from sam_core.decoding.upscaling import low_res_logits, mask_weights
from sam_core.model.sam import Sam

pytestmark = pytest.mark.usefixtures("one_thread")
GRID = 16
LOGITS_ERROR = 0.02  # rms; bfloat16 in torch errs by 0.08
PHOTO = Path(__file__).parents[5] / "jobs" / "demo" / "photos" / "coins.jpg"


@dataclass(frozen=True)
class Scene:
    """A model, an image and two points, with what torch makes of them."""

    sam: Sam
    side: ImageSide
    fused: FusedSide
    start: PromptStart
    decoded: DecodedPrompts
    weights_BMc: torch.Tensor
    prompts: FusedPrompts  # accurate

    @torch.inference_mode()
    def logits(self, positions: tuple[int, int]) -> torch.Tensor:
        return low_res_logits(
            self.sam.mask_decoder,
            self.side,
            self.decoded.image_tokens[0],
            self.weights_BMc,
            (GRID, GRID),
            positions,
            GRID,
            torch.float32,
        )


@pytest.fixture(scope="module")
def scene() -> Scene:
    sam = bundled_sam(GRID)
    decoder = sam.mask_decoder
    pixels_HW3 = np.array(Image.open(PHOTO).convert("RGB"))[: 16 * GRID, : 16 * GRID]
    coords_B2 = torch.tensor([[40.0, 60.0], [200.5, 222.0]])
    with torch.inference_mode():
        features_1Chw = sam.encode(pixels_HW3).features_1Chw
        side = crop_side(sam, features_1Chw)
        sparse_BTC, _ = sam.prompt_encoder((coords_B2[:, None], torch.ones(2, 1)), None, None)
        decoded = decoded_prompts(decoder, side, sparse_BTC, image_chunk=2)
        fused = ImageSideMaps(sam).of(features_1Chw[0].flatten(1).T)
        start = prompt_start(sam, coords_B2)
        weights_BMc = mask_weights(decoder, decoded.mask_tokens_BMC)
        prompts = FusedDecoder(sam, "accurate").decoded(fused, start)
    return Scene(sam, side, fused, start, decoded, weights_BMc, prompts)


def rms(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours.float() - theirs).square().mean().sqrt())


def test_it_serves_the_sizes_of_the_published_decoder() -> None:
    assert serves(bundled_sam(GRID))
    assert not serves(bundled_sam(GRID - 1))
    assert not serves(bundled_sam(GRID).half())
    assert not serves(small_sam())


@pytest.mark.parametrize(("looks", "error"), [("accurate", 3e-4), ("quick", 9e-4)])
def test_predicted_iou_and_masks(scene: Scene, looks: Literal["accurate", "quick"], error: float) -> None:
    prompts = scene.prompts
    if looks == "quick":
        prompts = FusedDecoder(scene.sam, looks).decoded(scene.fused, scene.start)
        assert not torch.equal(prompts.predicted_iou_N, scene.prompts.predicted_iou_N)
    theirs_N = scene.decoded.predicted_iou_BM.flatten()
    assert prompts.predicted_iou_N.dtype == torch.float32
    assert float((prompts.predicted_iou_N - theirs_N).abs().max()) < error
    logits = torch.empty(2, 3, 64, 64)
    drawn(scene.fused, prompts, (GRID, GRID), (GRID, GRID), logits)
    assert rms(logits, scene.logits((GRID, GRID))) < LOGITS_ERROR


# a landscape, a portrait, a line of positions, and sizes that leave a tile half full
@pytest.mark.parametrize("positions", [(7, 16), (16, 9), (1, 16), (16, 1), (7, 9)])
def test_only_positions_that_show_the_image_are_drawn(scene: Scene, positions: tuple[int, int]) -> None:
    for dtype in (torch.float32, torch.float16):
        logits = torch.full((2, 3, 4 * positions[0], 4 * positions[1]), torch.nan, dtype=dtype)
        drawn(scene.fused, scene.prompts, (GRID, GRID), positions, logits)
        assert rms(logits, scene.logits(positions)) < LOGITS_ERROR


@pytest.mark.parametrize("positions", [(16, 16), (7, 9)])
def test_exact_logits(scene: Scene, positions: tuple[int, int]) -> None:
    logits = torch.full((2, 3, 4 * positions[0], 4 * positions[1]), torch.nan)
    (tokens,) = scene.decoded.image_tokens
    decoder, side, weights_BMc = scene.sam.mask_decoder, scene.side, scene.weights_BMc
    drawn_exactly(decoder, side, tokens, weights_BMc, (GRID, GRID), positions, logits)
    assert rms(logits, scene.logits(positions)) < 1e-4


def test_fewer_masks_than_columns(scene: Scene) -> None:
    """One mask: the others' columns are padding and are not written."""
    logits = torch.full((2, 1, 28, 36), torch.nan)
    drawn(scene.fused, scene.prompts, (GRID, GRID), (7, 9), logits)
    assert rms(logits, scene.logits((7, 9))[:, :1]) < LOGITS_ERROR


def test_logits_of_another_size_are_refused(scene: Scene) -> None:
    with pytest.raises(ValueError, match="7 x 9 positions do not fit"):
        drawn(scene.fused, scene.prompts, (GRID, GRID), (7, 9), torch.empty(2, 3, 36, 28))
