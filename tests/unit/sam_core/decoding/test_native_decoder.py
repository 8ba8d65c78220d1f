"""The C kernel against the model's own modules, which are slow and simple: every mask at full size."""

import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from small_sam import bundled_sam

from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.native import built, library, sources
from sam_core.decoding.native.decoder import NativeDecoder, is_served
from sam_core.masks.rle import mask_of_runs
from sam_core.model.sam import Sam
from sam_core.options import MaskOptions

KEEP_ALL = MaskOptions(pred_iou_thresh=0, stability_score_thresh=0)


GRID = 24  # positions a side, nine tiles of the kernel


@pytest.fixture(scope="module")
def sam() -> Sam:
    return bundled_sam(GRID)


@pytest.fixture(scope="module")
def features_1Chw() -> torch.Tensor:
    return embedding(GRID)


def embedding(grid: int) -> torch.Tensor:
    """A smooth random embedding [1, 256, grid, grid] with the spread of real ones."""
    coarse = torch.randn(1, 256, 12, 12, generator=torch.Generator().manual_seed(5))
    return torch.nn.functional.interpolate(coarse, (grid, grid), mode="bicubic") * 0.15


def frame_of(height: int, width: int, grid: int = GRID) -> CropFrame:
    return CropFrame(height, width, image_size=16 * grid, low_res_size=4 * grid)


def plain_logits(
    sam: Sam, features_1Chw: torch.Tensor, frame: CropFrame, points_N2: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits at the crop's size [N, 3, H, W] and predicted IoU [N, 3], by the model's modules."""
    coords = torch.from_numpy(frame.input_points(points_N2)).float()[:, None]
    labels = torch.ones(len(coords), 1)
    with torch.inference_mode():
        sparse, dense = sam.prompt_encoder((coords, labels), None, None)
        encoding = sam.prompt_encoder.get_dense_pe()
        logits, iou = sam.mask_decoder(features_1Chw, encoding, sparse, dense, multimask_output=True)
        return sam.postprocess_masks(logits, frame.input_size, (frame.height, frame.width)), iou


def some_points(frame: CropFrame, count: int) -> np.ndarray:
    unit = np.random.default_rng(count).random((count, 2))
    return unit * [frame.width, frame.height]


# wide, tall, square, as small as can be, and with an odd number of rows of positions
@pytest.mark.parametrize("size", [(61, 97), (150, 83), (64, 64), (1, 1), (3, 200), (700, 1000)])
def test_every_mask_of_every_token_is_the_models_own(
    sam: Sam, features_1Chw: torch.Tensor, size: tuple[int, int]
) -> None:
    assert_every_mask_is_the_models_own(sam, features_1Chw, frame_of(*size))


def test_the_usual_square_gives_the_models_own_masks() -> None:
    assert_every_mask_is_the_models_own(bundled_sam(64), embedding(64), frame_of(700, 1000, grid=64))


def assert_every_mask_is_the_models_own(sam: Sam, features_1Chw: torch.Tensor, frame: CropFrame) -> None:
    size = (frame.height, frame.width)
    points = some_points(frame, 3)
    candidates = NativeDecoder(sam, features_1Chw, frame, KEEP_ALL).candidates(points)
    logits, iou = plain_logits(sam, features_1Chw, frame, points)
    logits, iou = logits.flatten(0, 1), iou.flatten()
    assert len(candidates) == 9
    assert candidates.point_index_N.tolist() == np.repeat(np.arange(3), 3).tolist()
    np.testing.assert_allclose(candidates.predicted_iou_N, iou, atol=1e-4)
    for index, (plain, stability) in enumerate(zip(logits, candidates.stability_score_N, strict=True)):
        mask = mask_of_runs(*candidates.runs(np.array([index])), *size)
        unsure = plain.abs() < 2e-3  # float32, summed in another order
        assert (torch.from_numpy(mask) == (plain > 0))[~unsure].all()
        assert unsure.float().mean() < 0.02 or unsure.sum() <= 2
        expected = float((plain > 1).sum() / max(1, (plain > -1).sum()))
        assert stability == pytest.approx(expected, abs=2e-3 + 2 / plain.numel())
        assert candidates.area_N[index] == mask.sum()
        rows, columns = np.nonzero(mask)
        box = [columns.min(), rows.min(), columns.max(), rows.max()] if len(rows) else [0, 0, 0, 0]
        assert candidates.box_xyxy_N4[index].tolist() == box


def test_only_masks_over_both_thresholds_are_candidates(sam: Sam, features_1Chw: torch.Tensor) -> None:
    frame = frame_of(40, 60)
    points = some_points(frame, 20)
    everything = NativeDecoder(sam, features_1Chw, frame, KEEP_ALL).candidates(points)
    iou, stability = everything.predicted_iou_N, everything.stability_score_N
    options = MaskOptions(
        pred_iou_thresh=float(np.median(iou)), stability_score_thresh=float(np.median(stability))
    )
    kept = NativeDecoder(sam, features_1Chw, frame, options).candidates(points)
    passes = (iou > np.float32(options.pred_iou_thresh)) & (
        stability >= np.float32(options.stability_score_thresh)
    )
    assert 0 < len(kept) < len(everything)
    np.testing.assert_array_equal(kept.point_index_N, everything.point_index_N[passes])
    drawn = zip(kept.runs(np.arange(len(kept))), everything.runs(np.flatnonzero(passes)), strict=True)
    for ours, same in drawn:
        np.testing.assert_array_equal(ours, same)


def test_batches_and_threads_change_nothing(sam: Sam, features_1Chw: torch.Tensor) -> None:
    frame = frame_of(48, 64)
    points = some_points(frame, 9)
    threads = torch.get_num_threads()
    answers = []
    try:
        for count, batch in [(1, 64), (3, 64), (2, 2)]:
            torch.set_num_threads(count)
            options = MaskOptions(pred_iou_thresh=0, stability_score_thresh=0, points_per_batch=batch)
            answers.append(NativeDecoder(sam, features_1Chw, frame, options).candidates(points))
            assert torch.get_num_threads() == count
            with ThreadPoolExecutor(1) as pool:  # nor in threads that begin later
                assert pool.submit(torch.get_num_threads).result() == count
    finally:
        torch.set_num_threads(threads)
    for other in answers[1:]:
        np.testing.assert_array_equal(other.point_index_N, answers[0].point_index_N)
        np.testing.assert_allclose(other.predicted_iou_N, answers[0].predicted_iou_N, atol=1e-5)
        np.testing.assert_allclose(other.area_N, answers[0].area_N, atol=5)


def test_no_points_give_no_candidates(sam: Sam, features_1Chw: torch.Tensor) -> None:
    assert len(NativeDecoder(sam, features_1Chw, frame_of(9, 9), KEEP_ALL).candidates(np.empty((0, 2)))) == 0


def test_scores_far_apart_do_not_overflow(sam: Sam, features_1Chw: torch.Tensor) -> None:
    """An embedding a hundred times too large drives softmax to its limits; plain torch stays finite."""
    frame = frame_of(32, 32)
    points = some_points(frame, 4)
    candidates = NativeDecoder(sam, features_1Chw * 100, frame, KEEP_ALL).candidates(points)
    _, iou = plain_logits(sam, features_1Chw * 100, frame, points)
    np.testing.assert_allclose(candidates.predicted_iou_N, iou.flatten(), atol=1e-2)


@pytest.mark.parametrize("name", ["kernel_avx512", "kernel_avx2", "kernel_neon"])
def test_every_library_that_runs_here_gives_the_same_masks(
    sam: Sam, features_1Chw: torch.Tensor, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name not in library.names():
        return  # of another machine
    frame = frame_of(50, 70)
    points = some_points(frame, 3)
    usual = NativeDecoder(sam, features_1Chw, frame, KEEP_ALL).candidates(points)
    chosen = library.opened(name)
    assert chosen is not None, f"{name} was not built: make test builds it"
    monkeypatch.setattr(library, "loaded", lambda: chosen)
    candidates = NativeDecoder(sam, features_1Chw, frame, KEEP_ALL).candidates(points)
    np.testing.assert_allclose(candidates.predicted_iou_N, usual.predicted_iou_N, atol=1e-4)
    np.testing.assert_allclose(candidates.area_N, usual.area_N, atol=20)


def test_the_library_was_built_where_it_can_be() -> None:
    if platform.machine().lower() in ("x86_64", "amd64", "aarch64", "arm64"):
        assert library.loaded() is not None
    assert not built.is_missing()


def test_other_flags_are_other_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    before = sources.digest()
    monkeypatch.setattr(sources, "FLAGS", (*sources.FLAGS, "-ffast-math"))
    assert sources.digest() != before


def test_a_command_learns_of_the_kernel_without_torch() -> None:
    script = """import sys; from sam_core.decoding.native import built
sys.exit(built.is_missing() or "torch" in sys.modules)"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_library_of_other_sources_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    other = sources.digest() + 1
    monkeypatch.setattr(sources, "digest", lambda: other)
    assert built.is_missing()
    assert library.opened(library.names()[0]) is None
    library.loaded.cache_clear()
    with pytest.warns(RuntimeWarning, match="plain torch makes the same masks"):
        assert library.loaded() is None
    library.loaded.cache_clear()


@pytest.mark.parametrize("content", [b"", b"no library", None])
def test_what_is_no_library_is_not_used(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(built, "__file__", str(tmp_path / "built.py"))
    if content is not None:
        (tmp_path / "kernel_avx2.so").write_bytes(content)
    assert library.opened("kernel_avx2") is None


def test_other_types_and_decoders_go_to_torch(sam: Sam, features_1Chw: torch.Tensor) -> None:
    assert is_served(sam, features_1Chw)
    assert not is_served(sam, features_1Chw.bfloat16())
    assert not is_served(sam, features_1Chw.to("meta"))
    assert not is_served(sam, features_1Chw[..., :5, :5])
