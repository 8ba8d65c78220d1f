"""Images through the encoder's kernels, which are dropped with a warning if they differ from plain torch."""

import gc
import weakref
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from sam_core.model import device_encoder
from sam_core.model.build import build_sam
from sam_core.model.presets import SamPreset, VitPreset
from sam_core.model.sam import Sam
from sam_core.model.triton import half_encoder, resize
from sam_core.weights.registry import load_sam

ENCODER = VitPreset(
    32, depth=1, num_heads=1, global_attn_indexes=(), img_size=64, window_size=3, out_chans=32
)
IMAGE = np.random.default_rng(0).integers(0, 256, (41, 90, 3), dtype=np.uint8)


@pytest.fixture
def sam(monkeypatch: pytest.MonkeyPatch) -> Sam:
    """A model that the code treats as being on a card."""
    monkeypatch.setattr(device_encoder, "may_have_kernels", lambda device: True)
    monkeypatch.setattr(device_encoder, "_resizes", {})
    torch.manual_seed(0)
    return build_sam(SamPreset(ENCODER, decoder_num_heads=4, decoder_mlp_dim=48))


@pytest.fixture
def encoded(sam: Sam) -> Callable[[torch.dtype], Tensor]:
    return lambda dtype: sam.encode(IMAGE, dtype).features_1Chw


def test_float16_goes_through_kernels_and_float32_through_torch(
    sam: Sam, encoded: Callable[[torch.dtype], Tensor], caplog: pytest.LogCaptureFixture
) -> None:
    exact, half = encoded(torch.float32), encoded(torch.float16)
    assert 0 < (half - exact).abs().max() < 0.01 * exact.abs().max()
    assert torch.equal(exact, sam.image_encoder(sam.resized_input(IMAGE)[None]))
    assert caplog.messages == []


def test_weights_that_change_are_taken_anew(sam: Sam, encoded: Callable[[torch.dtype], Tensor]) -> None:
    before = encoded(torch.float16)
    with torch.no_grad():
        sam.image_encoder.neck[3].bias.add_(1)
    torch.testing.assert_close(encoded(torch.float16), before + 1)


def test_an_encoder_that_nobody_holds_is_freed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(device_encoder, "may_have_kernels", lambda device: True)
    sam = build_sam(SamPreset(ENCODER, decoder_num_heads=4, decoder_mlp_dim=48))
    sam.encode(IMAGE, torch.float16)
    kept = len(device_encoder._found._made)
    freed = weakref.ref(sam.image_encoder)
    del sam
    gc.collect()
    assert freed() is None
    assert len(device_encoder._found._made) == kept - 1
    assert caplog.messages == []


def test_the_kernels_of_tiny_vit_do_not_hold_it() -> None:
    encoder = load_sam().sam.image_encoder
    freed, encode = weakref.ref(encoder), half_encoder.half_encoder(encoder)
    del encoder
    gc.collect()
    assert freed() is None
    assert callable(encode)


def test_a_hook_is_called_though_kernels_were_taken_before(
    sam: Sam, encoded: Callable[[torch.dtype], Tensor]
) -> None:
    before = encoded(torch.float16)
    handle = sam.image_encoder.neck.register_forward_hook(lambda _, __, features: features + 1)
    torch.testing.assert_close(encoded(torch.float16), before + 1, atol=0.02, rtol=0.02)
    handle.remove()
    torch.testing.assert_close(encoded(torch.float16), before)


def test_an_encoder_that_is_off_is_left(
    encoded: Callable[[torch.dtype], Tensor],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(half_encoder, "half_encoder", lambda module: lambda images: module(images) * 1.1)
    torch.testing.assert_close(encoded(torch.float16), encoded(torch.float32), atol=0.02, rtol=0.02)
    (message,) = caplog.messages
    assert message.endswith("their features differ by 0.100 of their size")


def test_other_pixels_or_a_missing_compiler_leave_the_resize_to_pillow(
    sam: Sam, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(*_: object) -> None:
        raise RuntimeError("ptxas is not there")

    for broken, sentence in (
        (
            lambda *arguments: arguments[-1].zero_(),
            "images are resized on the CPU: the kernels compute different pixels",
        ),
        (failing, "images are resized on the CPU: RuntimeError: ptxas is not there"),
    ):
        monkeypatch.setattr(device_encoder, "_resizes", {})
        monkeypatch.setattr(resize, "device_input", broken)
        assert device_encoder.resized_inputs(sam, [IMAGE]) is None
        assert caplog.messages.pop() == sentence
        caplog.clear()
