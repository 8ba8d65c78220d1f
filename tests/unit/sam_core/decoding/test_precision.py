"""Products in 16 bits: only on request, and only in the encoder and the upscaling; float16 ends at 65504."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from scipy.optimize import linear_sum_assignment
from small_sam import bundled_sam, small_sam
from torch import nn

from pipeline.output.format.identity import Identity
from sam_core.decoding import upscaling
from sam_core.decoding.crop_decoder import crop_decoder
from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.gpu_decoder import DeviceDecoder
from sam_core.decoding.native.decoder import NativeDecoder
from sam_core.decoding.precision import NotFinite
from sam_core.decoding.torch_decoder import TorchDecoder
from sam_core.generator import MakeDecoder, SamAutomaticMaskGenerator
from sam_core.masks.refilter import check_refilter
from sam_core.model.sam import Sam
from sam_core.options import MaskOptions

PHOTOS = Path(__file__).parents[4] / "jobs" / "demo" / "photos"
EVERYTHING = {"pred_iou_thresh": 0, "stability_score_thresh": 0, "points_per_batch": 2}
BFLOAT16 = MaskOptions(precision="bfloat16", **EVERYTHING)
FLOAT16 = MaskOptions(precision="float16", **EVERYTHING)
FLOAT32 = MaskOptions(**EVERYTHING)
GRID = 32  # a quarter of the usual positions: without instructions of its own bfloat16 is slow on a CPU
FRAME = CropFrame(40, 60, image_size=16 * GRID, low_res_size=4 * GRID)
POINTS = np.array([[12.0, 9.0], [52.0, 33.0]])


@pytest.fixture(scope="module")
def sam() -> Sam:
    return bundled_sam(GRID)


@pytest.fixture(scope="module")
def features_1Chw() -> torch.Tensor:
    return torch.randn(1, 256, GRID, GRID, generator=torch.Generator().manual_seed(0)) * 0.1


def test_rows_of_one_precision_are_never_taken_for_the_other() -> None:
    identities = [Identity("vit_t", "0" * 64, options) for options in (FLOAT32, BFLOAT16)]
    assert identities[0].fingerprint != identities[1].fingerprint
    assert identities[1].described()["mask_options"]["precision"] == "bfloat16"
    with pytest.raises(ValueError, match="precision"):
        check_refilter(FLOAT32, BFLOAT16)


@pytest.mark.parametrize("decoder", [TorchDecoder, DeviceDecoder])
def test_scores_of_the_model_stay_float32(sam: Sam, features_1Chw: torch.Tensor, decoder: type) -> None:
    exact = decoder(sam, features_1Chw, FRAME, FLOAT32).candidates(POINTS)
    lossy = decoder(sam, features_1Chw, FRAME, BFLOAT16).candidates(POINTS)
    np.testing.assert_array_equal(lossy.predicted_iou_N, exact.predicted_iou_N)
    np.testing.assert_allclose(lossy.area_N, exact.area_N, rtol=0.05, atol=10)
    assert (lossy.stability_score_N != exact.stability_score_N).any()


def test_the_upscaling_multiplies_in_bfloat16_and_sums_its_norm_in_float32(
    sam: Sam, features_1Chw: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    block_logits, dtypes = upscaling._block_logits, set[torch.dtype]()

    def watched(decoder: object, first: torch.Tensor, *rest: object) -> torch.Tensor:
        first.mul_(1000)  # the sum of squares leaves bfloat16's eight bits, and the norm takes the scale out
        logits = block_logits(decoder, first, *rest)
        dtypes.update([first.dtype, logits.dtype])
        return logits

    exact = DeviceDecoder(sam, features_1Chw, FRAME, FLOAT32).candidates(POINTS)
    monkeypatch.setattr(upscaling, "_block_logits", watched)
    scaled = DeviceDecoder(sam, features_1Chw, FRAME, BFLOAT16).candidates(POINTS)
    assert dtypes == {torch.bfloat16}
    np.testing.assert_allclose(scaled.area_N, exact.area_N, rtol=0.05, atol=10)


def test_a_photo_keeps_its_masks(sam: Sam) -> None:
    """A coarse grid of points on one photo; tests/bench/bench_precision.py can use more of both."""
    photo = np.array(Image.open(PHOTOS / "coins.jpg").convert("RGB"))
    exact, lossy = (
        SamAutomaticMaskGenerator(sam, 4, precision=precision).generate_masks(photo)
        for precision in ("float32", "bfloat16")
    )
    sides = [
        [{"size": [side.height, side.width], "counts": counts} for counts in side.counts]
        for side in (exact, lossy)
    ]
    iou = coco_mask.iou(*sides, [0] * len(lossy))
    assert len(exact) > 5
    assert len(lossy) == pytest.approx(len(exact), rel=0.05)
    assert (iou[linear_sum_assignment(-iou)] >= 0.9).sum() >= 0.97 * len(exact)


def test_the_encoder_gets_the_precision(sam: Sam, monkeypatch: pytest.MonkeyPatch) -> None:
    class Asked(Exception):
        pass

    def encode_batch(images: list[np.ndarray], dtype: torch.dtype) -> None:
        raise Asked(dtype)

    monkeypatch.setattr(sam, "encode_batch", encode_batch)
    for options, dtype in ((FLOAT32, torch.float32), (BFLOAT16, torch.bfloat16), (FLOAT16, torch.float16)):
        with pytest.raises(Asked, match=str(dtype)):
            SamAutomaticMaskGenerator.from_options(sam, options).generate_masks(np.zeros((8, 8, 3), np.uint8))


@pytest.mark.parametrize(
    ("precision", "scale", "sentence"),
    [
        ("float16", 1e5, "this image exceeds float16's range; label with precision bfloat16"),
        ("float32", float("nan"), "are not finite; the weights may be damaged: download them again"),
    ],
)
def test_features_that_are_no_numbers_give_no_masks(precision: str, scale: float, sentence: str) -> None:
    sam = small_sam()
    with torch.no_grad():
        next(layer for layer in sam.image_encoder.modules() if isinstance(layer, nn.Linear)).weight.mul_(
            scale
        )
    photo = np.random.default_rng(0).integers(0, 256, (30, 47, 3), dtype=np.uint8)
    with pytest.raises(NotFinite, match=sentence):
        SamAutomaticMaskGenerator(sam, 2, precision=precision).generate_masks(photo)
    if precision == "float16":
        SamAutomaticMaskGenerator(sam, 2, precision="bfloat16").generate_masks(photo)


@pytest.mark.parametrize("make_decoder", [crop_decoder, TorchDecoder, DeviceDecoder])
def test_scores_that_are_no_numbers_give_no_masks(make_decoder: MakeDecoder) -> None:
    """NaN must be an error: a filter would drop the masks without a message."""
    sam = bundled_sam(GRID)
    with torch.no_grad():
        sam.mask_decoder.iou_token.weight.fill_(torch.nan)
    photo = np.zeros((30, 47, 3), np.uint8)
    with pytest.raises(NotFinite, match="are not finite; the weights may be damaged: download them again"):
        SamAutomaticMaskGenerator(sam, 2, decoder=make_decoder).generate_masks(photo)


def test_the_native_kernel_is_for_float32(sam: Sam, features_1Chw: torch.Tensor) -> None:
    assert isinstance(crop_decoder(sam, features_1Chw, FRAME, BFLOAT16), TorchDecoder)
    assert isinstance(crop_decoder(sam, features_1Chw, FRAME, FLOAT32), NativeDecoder | TorchDecoder)
