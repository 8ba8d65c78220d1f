"""A crop's masks by kernels against plain torch's, and the trial on a first crop that chooses one."""

import gc
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_sam import bundled_sam

from sam_core.decoding import device_kernels
from sam_core.decoding.crop_decoder import SelectingDecoder, crop_masks
from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.gpu_decoder import DeviceDecoder
from sam_core.decoding.precision import NotFinite
from sam_core.decoding.triton import agreement, kernel_decoder, look
from sam_core.decoding.triton import crop_masks as crop_masks_module
from sam_core.decoding.triton.agreement import disagreement
from sam_core.decoding.triton.crop_masks import queued_masks
from sam_core.decoding.triton.kernel_decoder import KernelDecoder, Kernels
from sam_core.masks.image_masks import ImageMasks
from sam_core.masks.selection import masks_of_crop
from sam_core.model.sam import Sam
from sam_core.options import MaskOptions

GRID = 16  # 256 positions, the fewest that the kernels take
FRAME = CropFrame(40, 60, image_size=16 * GRID, low_res_size=4 * GRID)
PLACE = ((0, 0, 60, 40), (40, 60))  # the whole image
POINTS = np.array([[14.0, 11.0]])
THREE_POINTS = np.array([[14.0, 11.0], [40.5, 30.0], [55.0, 5.0]])
LOOSE = {"pred_iou_thresh": 0, "stability_score_thresh": 0, "box_nms_thresh": 1}


@pytest.fixture(autouse=True)
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs only for the masks that exist: interpreted, each program takes milliseconds."""
    monkeypatch.setattr(kernel_decoder, "queued_masks", partial(queued_masks, capacity=4))


@pytest.fixture(scope="module")
def sam() -> Sam:
    return bundled_sam(GRID)


@pytest.fixture(scope="module")
def features_1Chw(sam: Sam) -> torch.Tensor:
    noise = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    with torch.inference_mode():
        return sam.encode(np.kron(noise, np.ones((5, 5, 1), np.uint8))).features_1Chw


@pytest.mark.parametrize(("precision", "iou_off", "area_off"), [("float16", 1e-3, 30), ("float32", 1e-5, 1)])
def test_masks_are_those_of_plain_torch(
    sam: Sam, features_1Chw: torch.Tensor, precision: Any, iou_off: float, area_off: int
) -> None:
    options = MaskOptions(precision=precision, **LOOSE)
    exact = MaskOptions(**LOOSE)
    plain = crop_masks(DeviceDecoder(sam, features_1Chw, FRAME, exact), POINTS, *PLACE, exact)
    decoder = KernelDecoder(sam, features_1Chw, FRAME, options, Kernels.of(sam, options))
    assert isinstance(decoder, SelectingDecoder)
    ours = crop_masks(decoder, POINTS, *PLACE, options)
    assert len(ours) == len(plain) == 3
    np.testing.assert_array_equal(ours.point_coords, plain.point_coords)
    np.testing.assert_array_equal(ours.crop_box_xywh, plain.crop_box_xywh)
    np.testing.assert_allclose(ours.predicted_iou, plain.predicted_iou, atol=iou_off)
    np.testing.assert_allclose(ours.area, plain.area, atol=area_off)


def test_bfloat16_is_drawn_by_plain_torch(sam: Sam, features_1Chw: torch.Tensor) -> None:
    options = MaskOptions(precision="bfloat16")
    kernels = Kernels.of(sam, options)
    coords = FRAME.input_points(POINTS).astype(np.float32)
    with torch.inference_mode():
        ours = KernelDecoder(sam, features_1Chw, FRAME, options, kernels).drawn(coords)
        plain = DeviceDecoder(sam, features_1Chw, FRAME, options).drawn(coords)
    for mine, other in zip(ours, plain, strict=True):
        assert torch.equal(mine, other)


def test_scores_that_are_no_numbers_end_the_image(
    sam: Sam, features_1Chw: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In each way to decode the crop: a filter would drop such masks without a message."""
    half = MaskOptions(precision="float16")
    with_kernels = KernelDecoder(sam, features_1Chw, FRAME, half, Kernels(None))

    def drawn(coords_B2: np.ndarray) -> Any:
        iou, logits = DeviceDecoder.drawn(with_kernels, coords_B2)
        return iou * torch.nan, logits

    monkeypatch.setattr(with_kernels, "drawn", drawn)
    with pytest.raises(NotFinite, match="this image exceeds float16's range"):
        with_kernels.masks(POINTS, *PLACE)
    with pytest.raises(NotFinite, match="this image exceeds float16's range"):
        with_kernels.candidates(POINTS)


def no_kernels(*_: object) -> None:
    raise AssertionError("these masks are selected by torch")


def test_a_crop_without_points_and_one_of_too_many_go_through_torch(
    sam: Sam, features_1Chw: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = MaskOptions(**LOOSE)
    decoder = KernelDecoder(sam, features_1Chw, FRAME, options, Kernels(None))
    monkeypatch.setattr(kernel_decoder, "queued_masks", no_kernels)
    assert len(decoder.masks(POINTS[:0], *PLACE)) == 0
    monkeypatch.setattr(crop_masks_module, "MOST_MASKS", 2)
    plain = crop_masks(DeviceDecoder(sam, features_1Chw, FRAME, options), POINTS, *PLACE, options)
    assert decoder.masks(POINTS, *PLACE).counts == plain.counts


def test_more_points_than_a_batch_are_selected_by_kernels_too(
    sam: Sam, features_1Chw: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = MaskOptions(points_per_batch=1, **LOOSE)
    monkeypatch.setattr(kernel_decoder, "queued_masks", partial(queued_masks, capacity=6))
    monkeypatch.setattr(kernel_decoder, "GROUP_PROMPTS", 1)
    points = THREE_POINTS[:2]
    plain = crop_masks(DeviceDecoder(sam, features_1Chw, FRAME, options), points, *PLACE, options)
    decoder = KernelDecoder(sam, features_1Chw, FRAME, options, Kernels(None))
    monkeypatch.setattr(decoder, "candidates", no_kernels)
    ours = decoder.masks(points, *PLACE)
    assert len(ours) == len(plain) == 6
    assert ours.counts == plain.counts
    np.testing.assert_array_equal(ours.point_coords, plain.point_coords)
    np.testing.assert_array_equal(ours.predicted_iou, plain.predicted_iou)


@pytest.mark.parametrize(
    ("fits", "sizes", "said"),
    [
        (2, [2, 1], []),
        (1, [2, 1, 1, 1], ["out of device memory: decoding continues with 1 points per batch"]),
    ],
)
def test_batches_are_drawn_into_one_memory_and_halved_if_one_does_not_fit(
    sam: Sam,
    features_1Chw: torch.Tensor,
    fits: int,
    sizes: list[int],
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    options = MaskOptions(**LOOSE)
    monkeypatch.setattr(kernel_decoder, "GROUP_PROMPTS", 2)
    decoder = KernelDecoder(sam, features_1Chw, FRAME, options, Kernels.of(sam, options))
    asked, drawn = list[int](), kernel_decoder.drawn

    def small_device(side: Any, prompts: Any, grid: Any, positions: Any, out: torch.Tensor) -> None:
        asked.append(len(out))
        if len(out) > fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        drawn(side, prompts, grid, positions, out)

    monkeypatch.setattr(kernel_decoder, "drawn", small_device)
    monkeypatch.setattr(kernel_decoder, "queued_masks", lambda drawn, *_: drawn)
    ours: Any = decoder.queued(THREE_POINTS, *PLACE)
    assert asked == sizes
    assert caplog.messages == said
    coords = FRAME.input_points(THREE_POINTS).astype(np.float32)
    with torch.inference_mode():
        iou_BM, logits_BMLM = DeviceDecoder(sam, features_1Chw, FRAME, options).drawn(coords)
    torch.testing.assert_close(ours.predicted_iou_N, iou_BM.flatten(), atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.logits_NLM, logits_BMLM.flatten(0, 1), atol=1e-3, rtol=1e-3)
    assert ours.point_index_N.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_masks_that_do_not_fit_at_once_are_selected_in_groups(
    sam: Sam,
    features_1Chw: torch.Tensor,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    options = MaskOptions(points_per_batch=2, **LOOSE)
    plain = crop_masks(DeviceDecoder(sam, features_1Chw, FRAME, options), THREE_POINTS, *PLACE, options)
    decoder = KernelDecoder(sam, features_1Chw, FRAME, options, Kernels(None))

    def full(count: int) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(decoder, "_room", full)
    assert decoder.masks(THREE_POINTS, *PLACE).counts == plain.counts
    (message,) = caplog.messages
    assert message == "out of device memory: the masks of 3 points are selected in groups"


def test_kernels_are_held_against_torch_before_they_are_used(
    sam: Sam, features_1Chw: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = MaskOptions(precision="float16")
    kernels = Kernels.of(sam, options)
    monkeypatch.setattr(agreement, "POINTS_PER_SIDE", 1)
    monkeypatch.setattr(agreement, "PROGRAMS", 3)
    assert disagreement(sam, features_1Chw, FRAME, options, kernels) is None

    def off_from(count: int) -> Callable[[KernelDecoder, np.ndarray], Any]:
        def off(self: KernelDecoder, coords_B2: np.ndarray) -> Any:
            iou, logits = DeviceDecoder.drawn(self, coords_B2)
            logits[-1] += 0.1 * logits.std() * (len(coords_B2) >= count)
            return iou, logits

        return off

    with monkeypatch.context() as patch:
        patch.setattr(KernelDecoder, "drawn", off_from(2))
        why_not = str(disagreement(sam, features_1Chw, FRAME, options, kernels))
    assert why_not.startswith("of 3 prompts at once: logits differ")
    monkeypatch.setattr(KernelDecoder, "masks", lambda self, *place: masks_of_no_point(self, place))
    assert "0 masks are selected" in str(disagreement(sam, features_1Chw, FRAME, options, Kernels(None)))
    monkeypatch.setattr(KernelDecoder, "drawn", off_from(1))
    assert "logits differ" in str(disagreement(sam, features_1Chw, FRAME, options, kernels))


def test_a_trial_takes_the_programs_of_a_usual_crop() -> None:
    few = np.zeros((agreement.POINTS_PER_SIDE**2, 2), np.float32)
    assert look._splits(len(few), 4096) > 1
    assert look._splits(len(agreement.as_many(few)), 4096) == look._splits(1024, 4096) == 1


def masks_of_no_point(decoder: KernelDecoder, place: Any) -> ImageMasks:
    points_N2, crop_xyxy, image_size = place
    nothing = decoder.candidates(points_N2[:0])
    return masks_of_crop(nothing, points_N2, crop_xyxy, image_size, MaskOptions())


def test_a_model_that_nobody_holds_is_freed(
    features_1Chw: torch.Tensor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """All that was made of the model is freed too, also objects that a caller has attached to it."""
    monkeypatch.setattr(device_kernels, "may_have_kernels", lambda device: True)
    monkeypatch.setattr(agreement, "disagreement", lambda *_: None)
    sam = bundled_sam(GRID)
    decoder = device_kernels.kernel_decoder(sam, features_1Chw, FRAME, MaskOptions(precision="float16"))
    assert decoder is not None
    assert decoder._fused is not None
    decoder.drawn(FRAME.input_points(POINTS).astype(np.float32))
    kept = len(device_kernels._found._made)
    freed = weakref.ref(sam)
    del sam, decoder
    gc.collect()
    assert freed() is None
    assert len(device_kernels._found._made) == kept - 1
    assert caplog.messages == []


def test_features_that_are_not_finite_say_nothing_about_the_kernels(
    sam: Sam, features_1Chw: torch.Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(NotFinite, match="this image exceeds float16's range"):
        device_kernels._tried(sam, features_1Chw / 0, FRAME, MaskOptions(precision="float16"))
    assert caplog.messages == []


def test_a_compiler_that_fails_costs_speed_and_a_word(
    sam: Sam,
    features_1Chw: torch.Tensor,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def failing(*_: object) -> str:
        raise RuntimeError("ptxas is not there")

    monkeypatch.setattr(agreement, "disagreement", failing)
    assert device_kernels._tried(sam, features_1Chw, FRAME, MaskOptions()) is None
    (message,) = caplog.messages
    assert message.startswith(
        "plain torch makes the masks, more slowly, without the GPU's kernels: RuntimeError: ptxas"
    )


def test_a_cache_that_cannot_be_written_leaves_compiling_to_the_first_image(
    sam: Sam, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(device_kernels, "may_have_kernels", lambda device: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    with caplog.at_level("INFO"):
        device_kernels.compile_kernels(sam, "vit_t", MaskOptions())
    (message,) = caplog.messages
    assert message.startswith(
        "the GPU's kernels were not compiled in advance, and are compiled when they are needed: [Errno 20]"
    )
