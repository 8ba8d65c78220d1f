"""On a CUDA device: the kernels are used and give the original's masks, within the precision's tolerance.

`python tests/bench/bench_gpu.py` measures the speeds.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from agreement import Agreement, agreement
from PIL import Image
from recorded_masks import matches_of_recorded

from sam_core.decoding.crop_decoder import SelectingDecoder, crop_decoder
from sam_core.decoding.crop_frame import CropFrame
from sam_core.generator import SamAutomaticMaskGenerator
from sam_core.model.build import build_sam
from sam_core.model.presets import SamPreset, VitPreset
from sam_core.model.sam import Sam
from sam_core.options import MaskOptions
from sam_core.weights.registry import load_sam

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
PHOTOS = Path(__file__).parents[2] / "jobs" / "demo" / "photos"
RECORDED = 175


@pytest.fixture(scope="module")
def sam() -> Sam:
    return load_sam(device="cuda").sam


def photo(name: str = "coins.jpg") -> np.ndarray:
    return np.array(Image.open(PHOTOS / name).convert("RGB"))


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_kernels_decode(sam: Sam, precision: Any, caplog: pytest.LogCaptureFixture) -> None:
    options = MaskOptions(precision=precision)
    dtype = {"float32": torch.float32, "float16": torch.float16}[precision]
    embedding = sam.encode(photo(), dtype)
    frame = CropFrame(*embedding.original_size)
    decoder = crop_decoder(sam, embedding.features_1Chw, frame, options)
    assert isinstance(decoder, SelectingDecoder), caplog.text
    assert caplog.messages == []


def test_recorded_masks(sam: Sam) -> None:
    found = matches_of_recorded(sam, "float32")
    assert found["recorded"] == RECORDED
    assert found["ours"] == pytest.approx(RECORDED, rel=0.02)
    assert found["matched"] >= RECORDED - 1
    assert found["predicted_iou_off"] < 0.01


def test_float16_beside_float32_of_the_same_card(sam: Sam) -> None:
    """Over all photos together, because a single mask at a threshold may fall on either side."""
    photos = [photo(path.name) for path in sorted(PHOTOS.glob("*.jpg"))]
    half, exact = (
        SamAutomaticMaskGenerator(sam, points_per_batch=256, precision=precision).generate_batch(photos)
        for precision in ("float16", "float32")
    )
    assert_agree(agreement(half, exact, match_iou=0.99))


def assert_agree(agreed: Agreement) -> None:
    assert agreed.matched_share >= 0.98, agreed
    assert agreed.lossy == pytest.approx(agreed.exact, rel=0.02), agreed
    assert agreed.largest_count_difference <= 0.05, agreed
    assert agreed.largest_score_difference <= 0.002, agreed


def test_several_at_once_are_what_each_is_alone(sam: Sam) -> None:
    generator = SamAutomaticMaskGenerator(sam, 16, precision="float16", crop_n_layers=1)
    photos = [photo(path.name) for path in sorted(PHOTOS.glob("*.jpg"))]
    together = generator.generate_batch(photos)
    for masks, image in zip(together, photos, strict=True):
        alone = generator.generate_masks(image)
        assert len(masks) == pytest.approx(len(alone), abs=2)  # products of two images round differently


def test_a_first_image_finds_its_kernels_compiled(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
import numpy as np
from sam_core.decoding.device_kernels import compile_kernels
from sam_core.generator import SamAutomaticMaskGenerator
from sam_core.weights.registry import load_sam
loaded = load_sam(device="cuda")
generator = SamAutomaticMaskGenerator(loaded.sam, precision="float16")
for step in (
    lambda: compile_kernels(loaded.sam, loaded.model_type, generator.options),
    lambda: generator.generate_masks(np.zeros((1500, 2250, 3), np.uint8)),
):
    step()
    print(*sorted(path.name for path in Path(sys.argv[1]).glob("*/*.cubin")))
"""
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", code, tmp_path]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    compiled, after = done.stdout.splitlines()
    assert len(compiled.split()) > 20
    # a kernel may be compiled again for memory of another alignment
    assert len({*after.split()} - {*compiled.split()}) <= 4


@pytest.mark.parametrize("size", [(1, 3000), (3000, 1), (7, 9), (900, 400), (2250, 1500), (1500, 2250)])
def test_the_device_resizes_as_pillow(sam: Sam, size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    from sam_core.model.device_encoder import resized_inputs

    inputs = resized_inputs(sam, [image])
    assert inputs is not None
    assert torch.equal(inputs[0], sam.resized_input(image))


@pytest.mark.parametrize("preset", [VitPreset(768, 2, 12, (1,)), VitPreset(1280, 2, 16, (1,))])
def test_the_encoder_in_float16(preset: VitPreset, caplog: pytest.LogCaptureFixture) -> None:
    """With the sizes of ViT-B and ViT-H, two blocks each."""
    sam = build_sam(SamPreset(preset)).cuda()
    exact, half = (sam.encode(photo(), dtype).features_1Chw for dtype in (torch.float32, torch.float16))
    assert (half - exact).square().mean().sqrt() < 0.01 * exact.square().mean().sqrt()
    assert caplog.messages == []


@torch.inference_mode()
def test_the_tokens_mlp_keeps_what_is_no_number(sam: Sam) -> None:
    """A compiled tl.maximum turns NaN into 0; an interpreted one does not."""
    from sam_core.decoding.triton.token_mlp import TokenMLP

    own = sam.mask_decoder.transformer.blocks()[0].mlp
    kernel, x_BTC = TokenMLP.of(own), torch.randn(20, 7, 256, device="cuda")
    expected_BTC = own(x_BTC)
    assert (kernel(x_BTC) - expected_BTC).abs().max() < 1e-5 * expected_BTC.abs().max()
    x_BTC[1, 3, 100] = 7e4
    is_number_BT = kernel(x_BTC).isfinite().all(2)
    assert not is_number_BT[1, 3]
    assert is_number_BT.sum() == 20 * 7 - 1
