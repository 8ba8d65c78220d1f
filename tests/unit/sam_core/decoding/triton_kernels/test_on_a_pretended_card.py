"""An image's whole way over a GPU, without one: devices, streams, waits and memory as on a card."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from pretended_card import pretended_card
from small_sam import small_sam

from sam_core.decoding.crop_decoder import SelectingDecoder, crop_decoder
from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.triton import agreement, crop_masks, kernel_decoder
from sam_core.generator import SamAutomaticMaskGenerator
from sam_core.masks.image_masks import ImageMasks
from sam_core.model.build import build_sam
from sam_core.model.presets import SamPreset, VitPreset
from sam_core.model.sam import Sam
from sam_core.options import MaskOptions
from sam_core.weights.registry import load_sam

pytestmark = pytest.mark.usefixtures("one_thread")
LOOSE: dict[str, Any] = {"pred_iou_thresh": 0, "stability_score_thresh": 0, "box_nms_thresh": 1}
ENCODER = VitPreset(32, depth=2, num_heads=1, global_attn_indexes=(1,), img_size=256, window_size=8)
ANSWERS = "an event"  # that the answers to a crop are on the host
FINITE = "aten::_local_scalar_dense"  # whether its features are finite, read at the end
WITHOUT_KERNELS = (7, 5)


def photos(count: int, side: int) -> list[np.ndarray]:
    noise = np.random.default_rng(0).integers(0, 256, (count, side, side + 5, 3), dtype=np.uint8)
    return list(noise)


def sam_with_kernels() -> Sam:
    """The bundled decoder behind a small encoder, both in sizes that the kernels support."""
    torch.manual_seed(0)
    sam, bundled = build_sam(SamPreset(ENCODER)), load_sam().sam
    sam.mask_decoder = bundled.mask_decoder
    sam.prompt_encoder.load_state_dict(bundled.prompt_encoder.state_dict())
    return sam


def with_few_programs(monkeypatch: pytest.MonkeyPatch, of_trial: int) -> None:
    """Uses few programs, because interpreted each one takes milliseconds."""
    monkeypatch.setattr(kernel_decoder, "queued_masks", partial(crop_masks.queued_masks, capacity=4))
    monkeypatch.setattr(agreement, "POINTS_PER_SIDE", 1)
    monkeypatch.setattr(agreement, "PROGRAMS", of_trial)


def assert_near(ours: list[ImageMasks], plain: list[ImageMasks], predicted_iou: float) -> None:
    assert [len(masks) for masks in ours] == [len(masks) for masks in plain]
    for masks, expected in zip(ours, plain, strict=True):
        np.testing.assert_allclose(masks.predicted_iou, expected.predicted_iou, atol=predicted_iou)


def test_kernels_wait_for_what_they_read_and_for_nothing_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with_few_programs(monkeypatch, of_trial=2)
    sam, images = sam_with_kernels(), photos(2, side=8)
    plain = SamAutomaticMaskGenerator(sam, 1, **LOOSE).generate_batch(images)
    with pretended_card() as card:
        card.moved(sam)
        generator = SamAutomaticMaskGenerator(sam, 1, precision="float16", **LOOSE)
        first = generator.generate_masks(images[0])  # tries the kernels
        card.work.waits.clear()
        second = generator.generate_masks(images[1])  # in another stream
    assert caplog.messages == []
    assert card.work.faults == []
    assert card.work.waits == [ANSWERS, FINITE]
    assert_near([first, second], plain, predicted_iou=1e-3)


def test_a_default_dtype_that_is_set_later_changes_no_features() -> None:
    (image,) = photos(1, side=8)
    with pretended_card() as card:
        sam = small_sam()
        card.moved(sam)
        before = sam.encode(image).features_1Chw.cpu()
        torch.set_default_dtype(torch.bfloat16)
        try:
            after = sam.encode(image).features_1Chw.cpu()
        finally:
            torch.set_default_dtype(torch.float32)
    assert torch.equal(after, before)


def test_a_crop_is_decoded_on_its_own_card(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Decodes without a generator, whose streams would make the card current."""
    with_few_programs(monkeypatch, of_trial=1)
    sam, (image,), options = sam_with_kernels(), photos(1, side=8), MaskOptions(**LOOSE)
    height, width, _ = image.shape
    with pretended_card() as card:
        card.moved(sam)
        features_1Chw = sam.encode(image).features_1Chw
        frame = CropFrame(height, width, sam.image_encoder.img_size, 4 * features_1Chw.shape[2])
        decoder = crop_decoder(sam, features_1Chw, frame, options)
        assert isinstance(decoder, SelectingDecoder)
        masks = decoder.masks(np.array([[4.0, 4.0]]), (0, 0, width, height), (height, width))
        assert len(decoder.candidates(np.array([[4.0, 4.0]]))) == len(masks) == 3
    assert caplog.messages == []
    assert card.work.faults == []


def test_a_card_that_is_full_for_a_moment_costs_no_mask() -> None:
    """Whichever allocation fails, the masks are the same, at the first try or for each image alone."""
    options: dict[str, Any] = LOOSE | {"points_per_batch": 2, "mask_embeddings": True}
    with pretended_card(WITHOUT_KERNELS) as card:
        sam, images = small_sam(), photos(2, side=30)
        card.moved(sam)
        generator = SamAutomaticMaskGenerator(sam, 2, **options)
        card.allocations, came_at_once = 0, 0
        expected = generator.generate_batch(images)
        assert card.work.faults == []
        for full in range(1, card.allocations, card.allocations // 8):
            card.allocations, card.is_full = 0, partial(int.__eq__, full)
            try:
                masks = generator.generate_batch(images)
                came_at_once += 1
            except torch.OutOfMemoryError:
                masks = [generator.generate_masks(image) for image in images]
            assert_near(masks, expected, predicted_iou=1e-5)
            assert [each.counts for each in masks] == [each.counts for each in expected]
    assert came_at_once > 4  # by smaller batches
