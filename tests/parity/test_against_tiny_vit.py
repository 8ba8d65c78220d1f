"""Our TinyViT compared with a slow, simple one, and with the original's recorded output (bundled weights).

No Python package has MobileSAM's encoder, so the slow one is written here: plain BatchNorm, one window at a
time, with padding tokens, each attention bias looked up by its offset.
"""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_sam import small_tiny_vit
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from sam_core.model.presets import TinyVitPreset
from sam_core.model.tiny_vit import TinyViT
from sam_core.predictor import SamPredictor
from sam_core.weights.registry import load_sam

PHOTOS = Path(__file__).parents[2] / "jobs" / "demo" / "photos"
GOLDEN = Path(__file__).parent / "golden"
PRESET = TinyVitPreset(
    img_size=72,  # grids of 18, 9, 5 and 5 positions: every stage pads its windows
    embed_dims=(8, 16, 24, 32),
    depths=(1, 2, 1, 1),
    num_heads=(1, 2, 3, 4),
    window_sizes=(7, 4, 2, 3),
    out_chans=12,
)


class SlowTinyViT:
    """The same network from its state dict; all maps are [B, C, H, W]."""

    def __init__(self, preset: TinyVitPreset, state: dict[str, Tensor]) -> None:
        self.preset, self.state = preset, state

    def conv(self, x: Tensor, at: str, stride: int = 1) -> Tensor:
        weight = self.state[f"{at}.c.weight"]
        groups = x.shape[1] // weight.shape[1]
        x = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2, groups=groups)
        names = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(self.state[f"{at}.bn.{name}"] for name in names), eps=1e-5)

    def three_convs(self, x: Tensor, at: str, stride: int = 1) -> Tensor:
        x = F.gelu(self.conv(x, f"{at}.conv1"))
        return self.conv(F.gelu(self.conv(x, f"{at}.conv2", stride)), f"{at}.conv3")

    def linear(self, x: Tensor, at: str) -> Tensor:
        return x @ self.state[f"{at}.weight"].T + self.state[f"{at}.bias"]

    def norm(self, x: Tensor, at: str, eps: float) -> Tensor:
        mean, variance = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, unbiased=False)
        return (x - mean) / (variance + eps).sqrt() * self.state[f"{at}.weight"] + self.state[f"{at}.bias"]

    def window(self, tokens_SSC: Tensor, at: str, num_heads: int) -> Tensor:
        size, _, C = tokens_SSC.shape
        tokens = self.norm(tokens_SSC.reshape(size * size, C), f"{at}.norm", 1e-5)
        heads = self.linear(tokens, f"{at}.qkv").reshape(size * size, num_heads, -1)
        places = [(row, column) for row in range(size) for column in range(size)]
        offsets: dict[tuple[int, int], int] = {}
        for here in places:
            for there in places:
                offsets.setdefault((abs(here[0] - there[0]), abs(here[1] - there[1])), len(offsets))
        index = [[offsets[abs(a - c), abs(b - d)] for c, d in places] for a, b in places]
        outs = []
        for head in range(num_heads):
            q, k, v = heads[:, head].split(C // num_heads, dim=1)
            bias = self.state[f"{at}.attention_biases"][head][torch.tensor(index)]
            outs.append((q @ k.T / (C // num_heads) ** 0.5 + bias).softmax(1) @ v)
        return self.linear(torch.cat(outs, dim=1), f"{at}.proj").reshape(size, size, C)

    def attention(self, x_BCHW: Tensor, at: str, num_heads: int, size: int) -> Tensor:
        B, _, H, W = x_BCHW.shape
        padded = F.pad(x_BCHW, (0, -W % size, 0, -H % size)).permute(0, 2, 3, 1)
        out = torch.empty_like(padded)
        for b in range(B):
            for y in range(0, padded.shape[1], size):
                for x in range(0, padded.shape[2], size):
                    cell = (b, slice(y, y + size), slice(x, x + size))
                    out[cell] = self.window(padded[cell], at, num_heads)
        return out[:, :H, :W].permute(0, 3, 1, 2)

    def block(self, x: Tensor, at: str, stage: int) -> Tensor:
        if stage == 0:
            return F.gelu(x + self.three_convs(x, at))
        x = x + self.attention(x, f"{at}.attn", self.preset.num_heads[stage], self.preset.window_sizes[stage])
        x = self.conv(x, f"{at}.local_conv").permute(0, 2, 3, 1)
        hidden = F.gelu(self.linear(self.norm(x, f"{at}.mlp.norm", 1e-5), f"{at}.mlp.fc1"))
        return (x + self.linear(hidden, f"{at}.mlp.fc2")).permute(0, 3, 1, 2)

    def __call__(self, x: Tensor) -> Tensor:
        x = F.gelu(self.conv(x, "patch_embed.seq.0", stride=2))
        x = self.conv(x, "patch_embed.seq.2", stride=2)
        for stage, depth in enumerate(self.preset.depths):
            for index in range(depth):
                x = self.block(x, f"layers.{stage}.blocks.{index}", stage)
            if stage < 3:
                x = self.three_convs(x, f"layers.{stage}.downsample", self.preset.strides[stage])
        for conv, norm in (("0", "1"), ("2", "3")):
            weight = self.state[f"neck.{conv}.weight"]
            x = F.conv2d(x, weight, padding=weight.shape[-1] // 2).permute(0, 2, 3, 1)
            x = self.norm(x, f"neck.{norm}", 1e-6).permute(0, 3, 1, 2)
        return x


@pytest.fixture
def small() -> TinyViT:
    return small_tiny_vit(PRESET)


@torch.no_grad()
def test_embeddings_of_a_small_random_model(small: TinyViT) -> None:
    images = torch.randn(2, 3, 72, 72)
    assert_close(small(images), SlowTinyViT(PRESET, small.state_dict())(images), atol=1e-4, rtol=1e-4)
    assert small(images).shape == (2, 12, PRESET.grid_size, PRESET.grid_size)


@torch.no_grad()
def test_bfloat16_stays_close(small: TinyViT) -> None:
    images = torch.randn(1, 3, 72, 72)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = small(images)
    assert F.cosine_similarity(rough.float().flatten(), small(images).flatten(), dim=0) > 0.999


@pytest.mark.parametrize("photo", ["coins"])
def test_predicted_iou_at_points_that_the_original_recorded(photo: str) -> None:
    golden = json.loads(gzip.decompress((GOLDEN / f"{photo}.default.json.gz").read_bytes()))
    records = golden["masks"][::8]
    predictor = SamPredictor(load_sam().sam)
    predictor.set_image(np.array(Image.open(PHOTOS / f"{photo}.jpg").convert("RGB")))
    points = torch.tensor([record["point_coords"] for record in records])
    fitted = predictor.transform.apply_coords_torch(points, predictor.original_size)
    _, iou_N3, _ = predictor.predict_torch(fitted, torch.ones(len(records), 1))
    recorded = torch.tensor([record["predicted_iou"] for record in records])
    assert (iou_N3 - recorded[:, None]).abs().min(dim=1).values.max() < 1e-4
