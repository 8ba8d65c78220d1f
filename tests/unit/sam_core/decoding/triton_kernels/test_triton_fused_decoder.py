"""The whole fused decoder against plain torch: the bundled weights, a photo's corner, 16 x 16 positions."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from small_sam import bundled_sam, small_sam

from sam_core.decoding.image_side import ImageSide, crop_side
from sam_core.decoding.prompt_side import DecodedPrompts, decoded_prompts
from sam_core.decoding.triton import fused_decoder
from sam_core.decoding.triton.fused_decoder import FusedDecoder, FusedPrompts, serves
from sam_core.decoding.triton.image_side_maps import FusedSide, ImageSideMaps
from sam_core.decoding.triton.prompt_start import PromptStart, prompt_start
from sam_core.decoding.triton.token_maps import TokenMaps
from sam_core.decoding.triton.upscale import drawn
from sam_core.decoding.upscaling import low_res_logits, mask_weights
from sam_core.model.sam import Sam

pytestmark = pytest.mark.usefixtures("one_thread")
GRID = 16
HALF, FULL = torch.float16, torch.float32
in_both = pytest.mark.parametrize("dtype", [HALF, FULL], ids=["float16", "float32"])
IOU_ERROR = {HALF: 9e-4, FULL: 1e-5}
LOGITS_ERROR = {HALF: 0.02, FULL: 1e-4}  # rms; bfloat16 in torch errs by 0.08
PHOTO = Path(__file__).parents[5] / "jobs" / "demo" / "photos" / "coins.jpg"


@dataclass(frozen=True)
class Scene:
    """A model, an image and two points, with torch's results for them."""

    sam: Sam
    side: ImageSide
    start: PromptStart
    decoded: DecodedPrompts
    weights_BMc: torch.Tensor
    fused: dict[torch.dtype, FusedSide]
    prompts: dict[torch.dtype, FusedPrompts]

    @property
    def decoder(self) -> FusedDecoder:
        return FusedDecoder(self.sam, TokenMaps.of(self.sam))

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
        features_PC = features_1Chw[0].flatten(1).T
        fused = {dtype: ImageSideMaps(sam, dtype).of(features_PC) for dtype in (HALF, FULL)}
        start = prompt_start(sam, coords_B2)
        weights_BMc = mask_weights(decoder, decoded.mask_tokens_BMC)
        prompts = {
            dtype: FusedDecoder(sam, TokenMaps.of(sam)).decoded(fused[dtype], start) for dtype in (HALF, FULL)
        }
    return Scene(sam, side, start, decoded, weights_BMc, fused, prompts)


def rms(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours.float() - theirs).square().mean().sqrt())


def test_it_serves_the_sizes_of_the_published_decoder() -> None:
    for dtype in (HALF, FULL):
        assert serves(bundled_sam(GRID), dtype)
        assert not serves(bundled_sam(GRID - 1), dtype)
        assert not serves(bundled_sam(GRID).half(), dtype)
        assert not serves(small_sam(), dtype)
    assert not serves(bundled_sam(GRID), torch.bfloat16)


@in_both
def test_predicted_iou_and_masks(scene: Scene, dtype: torch.dtype) -> None:
    prompts, theirs_N = scene.prompts[dtype], scene.decoded.predicted_iou_BM.flatten()
    assert prompts.predicted_iou_N.dtype == torch.float32
    assert prompts.factors_BPF.dtype == prompts.values_BFN.dtype == prompts.hyper_BDK.dtype == dtype
    assert float((prompts.predicted_iou_N - theirs_N).abs().max()) < IOU_ERROR[dtype]
    logits = torch.empty(2, 3, 64, 64)
    drawn(scene.fused[dtype], prompts, (GRID, GRID), (GRID, GRID), logits)
    assert rms(logits, scene.logits((GRID, GRID))) < LOGITS_ERROR[dtype]


# a landscape, a portrait, a line of positions, and sizes that leave a tile half full
@pytest.mark.parametrize("positions", [(7, 16), (16, 9), (1, 16), (16, 1), (7, 9)])
@in_both
def test_only_positions_that_show_the_image_are_drawn(
    scene: Scene, dtype: torch.dtype, positions: tuple[int, int]
) -> None:
    for logits_dtype in (FULL, HALF) if dtype == HALF else (FULL,):
        logits = torch.full((2, 3, 4 * positions[0], 4 * positions[1]), torch.nan, dtype=logits_dtype)
        drawn(scene.fused[dtype], scene.prompts[dtype], (GRID, GRID), positions, logits)
        assert rms(logits, scene.logits(positions)) < LOGITS_ERROR[dtype]


@pytest.mark.parametrize("name", ["gram", "upscaling_values", "mask_blocks"])
@in_both
def test_a_prompt_whose_numbers_leave_the_range_has_no_predicted_iou(
    scene: Scene, dtype: torch.dtype, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = getattr(fused_decoder, name)

    def huge(*arguments: Any) -> torch.Tensor:
        numbers = usual(*arguments)
        numbers[1, 5, 5] = 1e6  # in float16 it is infinite
        return numbers

    monkeypatch.setattr(fused_decoder, name, huge)
    prompts = scene.decoder.decoded(scene.fused[dtype], scene.start)
    assert torch.equal(prompts.predicted_iou_N[:3], scene.prompts[dtype].predicted_iou_N[:3])
    assert bool(prompts.predicted_iou_N[3:].isnan().all())


@in_both
def test_an_image_whose_side_leaves_the_range_has_no_predicted_iou(scene: Scene, dtype: torch.dtype) -> None:
    features_PC = torch.zeros(GRID * GRID, 256)
    maps = ImageSideMaps(scene.sam, dtype)
    assert bool(maps.of(features_PC).is_held)
    features_PC[3, 7] = 1e9
    assert not bool(maps.of(features_PC).is_held)
    side = replace(scene.fused[dtype], is_held=torch.tensor(False))
    assert bool(scene.decoder.decoded(side, scene.start).predicted_iou_N.isnan().all())


def test_fewer_masks_than_columns(scene: Scene) -> None:
    """One mask: the columns of the others are padding and stay unwritten."""
    logits = torch.full((2, 1, 28, 36), torch.nan)
    drawn(scene.fused[HALF], scene.prompts[HALF], (GRID, GRID), (7, 9), logits)
    assert rms(logits, scene.logits((7, 9))[:, :1]) < LOGITS_ERROR[HALF]


def test_logits_of_another_size_are_refused(scene: Scene) -> None:
    with pytest.raises(ValueError, match="7 x 9 positions do not fit"):
        drawn(scene.fused[HALF], scene.prompts[HALF], (GRID, GRID), (7, 9), torch.empty(2, 3, 36, 28))
