"""Layers give the same values in bands and chunks as at once, for heights around a band's edge."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import nn

import sam_core.model.bands
from sam_core.model.bands import run_in_bands, run_in_chunks
from sam_core.model.tiny_vit import ConvPatchEmbed, MBConv, PatchMerging


@pytest.fixture(autouse=True)
def small_bands(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sam_core.model.bands, "OUTPUT_ROWS", 3)
    monkeypatch.setattr(sam_core.model.bands, "CHUNK_TOKENS", 7)
    torch.manual_seed(0)
    with torch.no_grad():
        yield


@pytest.mark.parametrize("height", range(1, 30))
@pytest.mark.parametrize(
    ("make", "stride"),
    [
        (lambda: MBConv(4, 2).eval()._band, 1),
        (lambda: PatchMerging(4, 6, stride=1).eval()._band, 1),
        (lambda: PatchMerging(4, 6, stride=2).eval()._band, 2),
        (lambda: ConvPatchEmbed(4).eval().seq, 4),
    ],
    ids=["MBConv", "PatchMerging 1", "PatchMerging 2", "ConvPatchEmbed"],
)
def test_bands(make: Callable[[], Callable[[torch.Tensor], torch.Tensor]], stride: int, height: int) -> None:
    layer = make()
    x = torch.randn(2, 3 if stride == 4 else 4, height, 9)  # the first layer sees RGB
    torch.testing.assert_close(run_in_bands(layer, x, stride), layer(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("width", [1, 6, 7, 8, 21])
def test_chunks(width: int) -> None:
    layer, x = nn.Sequential(nn.Linear(4, 9), nn.GELU(), nn.Linear(9, 4)), torch.randn(2, 3, width, 4)
    torch.testing.assert_close(run_in_chunks(layer, x), layer(x))
