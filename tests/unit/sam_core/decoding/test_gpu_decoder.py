"""The GPU's decoder on the CPU, compared with the plain one: shapes, memory, and no wait before the end."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch
from small_sam import SMALL, small_sam
from torch.utils._python_dispatch import TorchDispatchMode

from sam_core import generator
from sam_core.crop_streams import mapped_ahead
from sam_core.decoding import gpu_decoder
from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.gpu_decoder import DeviceDecoder
from sam_core.decoding.image_side import crop_side
from sam_core.decoding.torch_decoder import TorchDecoder
from sam_core.generator import SamAutomaticMaskGenerator
from sam_core.masks.candidates import Candidates
from sam_core.model.build import build_sam
from sam_core.model.presets import SamPreset, TinyVitPreset
from sam_core.model.sam import Sam
from sam_core.options import MaskOptions
from sam_core.under_way import UnderWay

pytestmark = pytest.mark.usefixtures("one_thread")
FRAME = CropFrame(30, 47, image_size=64, low_res_size=16)
KEEP_ALL = MaskOptions(pred_iou_thresh=0, stability_score_thresh=0, points_per_batch=8)


@pytest.fixture(scope="module")
def sam() -> Sam:
    return small_sam()


@pytest.fixture(scope="module")
def features_1Chw() -> torch.Tensor:
    return torch.randn(1, 32, 4, 4, generator=torch.Generator().manual_seed(1))


def points(count: int) -> np.ndarray:
    return np.random.default_rng(count).random((count, 2)) * [FRAME.width, FRAME.height]


def assert_same(ours: Candidates, plain: Candidates) -> None:
    np.testing.assert_array_equal(ours.point_index_N, plain.point_index_N)
    np.testing.assert_array_equal(ours.area_N, plain.area_N)
    np.testing.assert_array_equal(ours.box_xyxy_N4, plain.box_xyxy_N4)
    np.testing.assert_allclose(ours.predicted_iou_N, plain.predicted_iou_N, atol=1e-5)
    np.testing.assert_allclose(ours.stability_score_N, plain.stability_score_N, atol=1e-6)
    order = np.arange(len(ours))[::-1]
    for runs, same in zip(ours.runs(order), plain.runs(order), strict=True):
        np.testing.assert_array_equal(runs, same)


@pytest.mark.parametrize("count", [0, 1, 8, 21])
@pytest.mark.parametrize("group", [5, 1024])
def test_masks_are_those_of_the_plain_decoder(
    sam: Sam, features_1Chw: torch.Tensor, count: int, group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_decoder, "GROUP_PROMPTS", group)
    plain = TorchDecoder(sam, features_1Chw, FRAME, KEEP_ALL).candidates(points(count))
    ours = DeviceDecoder(sam, features_1Chw, FRAME, KEEP_ALL).candidates(points(count))
    assert len(ours) == 3 * count
    assert_same(ours, plain)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1)])
@pytest.mark.parametrize("seed", range(4))
def test_images_of_a_pixel_or_two(sam: Sam, size: tuple[int, int], seed: int) -> None:
    """The centres of all logits above the threshold may lie outside the image."""
    features_1Chw = torch.randn(1, 32, 4, 4, generator=torch.Generator().manual_seed(seed))
    frame = CropFrame(*size, image_size=64, low_res_size=16)
    points_N2 = np.random.default_rng(seed).random((9, 2)) * size[::-1]
    plain = TorchDecoder(sam, features_1Chw, frame, KEEP_ALL).candidates(points_N2)
    assert_same(DeviceDecoder(sam, features_1Chw, frame, KEEP_ALL).candidates(points_N2), plain)


def test_thresholds_are_those_of_the_plain_decoder(sam: Sam, features_1Chw: torch.Tensor) -> None:
    everything = DeviceDecoder(sam, features_1Chw, FRAME, KEEP_ALL).candidates(points(12))
    options = MaskOptions(
        pred_iou_thresh=max(0.0, float(np.quantile(everything.predicted_iou_N, 0.3))),
        stability_score_thresh=float(np.quantile(everything.stability_score_N, 0.3)),
    )
    ours = DeviceDecoder(sam, features_1Chw, FRAME, options).candidates(points(12))
    assert 0 < len(ours) < len(everything)
    assert_same(ours, TorchDecoder(sam, features_1Chw, FRAME, options).candidates(points(12)))


def decoded_shapes(monkeypatch: pytest.MonkeyPatch, fits: int) -> list[int]:
    """Records the sizes of later batches; a batch of more than `fits` prompts runs out of memory."""
    decoded_prompts, sizes = gpu_decoder.decoded_prompts, list[int]()

    def small_device(decoder: Any, side: Any, sparse: torch.Tensor, *rest: Any, **named: Any) -> Any:
        sizes.append(len(sparse))
        if len(sparse) > fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return decoded_prompts(decoder, side, sparse, *rest, **named)

    monkeypatch.setattr(gpu_decoder, "decoded_prompts", small_device)
    return sizes


def test_the_device_sees_one_shape(
    sam: Sam, features_1Chw: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = decoded_shapes(monkeypatch, fits=8)
    DeviceDecoder(sam, features_1Chw, FRAME, KEEP_ALL).candidates(points(21))
    assert sizes == [8, 8, 8]


def test_out_of_memory_halves_the_batch_and_changes_nothing(
    sam: Sam, features_1Chw: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = TorchDecoder(sam, features_1Chw, FRAME, KEEP_ALL).candidates(points(7))
    sizes = decoded_shapes(monkeypatch, fits=3)
    decoder = DeviceDecoder(sam, features_1Chw, FRAME, KEEP_ALL)
    assert_same(decoder.candidates(points(7)), plain)
    assert sizes == [8, 4, 2, 2, 2, 2]


def test_out_of_memory_at_one_prompt_is_raised(
    sam: Sam, features_1Chw: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = decoded_shapes(monkeypatch, fits=0)
    with pytest.raises(torch.OutOfMemoryError):
        DeviceDecoder(sam, features_1Chw, FRAME, KEEP_ALL).candidates(points(2))
    assert sizes == [8, 4, 2, 1]


def test_an_encoder_out_of_memory_takes_half_and_changes_nothing(
    sam: Sam, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode_batch, sizes = sam.encode_batch, list[int]()

    def small_device(images: list[np.ndarray], dtype: torch.dtype) -> Any:
        sizes.append(len(images))
        if len(images) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return encode_batch(images, dtype)

    images = list(np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3), dtype=np.uint8))
    generator = SamAutomaticMaskGenerator(sam, 2)
    expected = [embedding.features_1Chw for embedding in generator._embeddings(images)]
    monkeypatch.setattr(sam, "encode_batch", small_device)
    halved = [embedding.features_1Chw for embedding in generator._embeddings(images)]
    assert sizes == [3, 1, 2, 1, 1]
    torch.testing.assert_close(halved, expected)
    monkeypatch.setattr(sam, "encode_batch", lambda *_: out_of_memory())
    with pytest.raises(torch.OutOfMemoryError):
        generator._embeddings(images)


def out_of_memory() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory")


class CopiesToTheDevice(TorchDispatchMode):
    """Records the operations that copied a tensor from the CPU to the meta device."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        sources = [arg for arg in args if isinstance(arg, torch.Tensor) and arg.ndim > 0]
        is_on_meta = isinstance(out, torch.Tensor) and out.device.type == "meta"
        if is_on_meta and any(source.device.type == "cpu" for source in sources):
            self.operations.append(str(func))
        return out


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_group_of_prompts_is_queued_without_a_wait(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The meta device has no values, so reading one, or selecting by one, raises.

    The dispatcher lists copies to the device. On CUDA a copy waits for the device unless its memory is
    pinned, as in `on_device`.
    """
    monkeypatch.setattr(
        gpu_decoder, "on_device", lambda array, device: torch.empty(array.shape, device=device)
    )
    with torch.device("meta"):
        sam = build_sam(SMALL)
        sam.pixel_mean, sam.pixel_std = torch.zeros(3, 1, 1), torch.ones(3, 1, 1)
    options = KEEP_ALL.model_copy(update={"precision": precision})
    decoder = DeviceDecoder(sam, torch.empty(1, 32, 4, 4, device="meta"), FRAME, options)
    with CopiesToTheDevice() as copies, torch.inference_mode():
        group = decoder._batches(np.zeros((21, 2), np.float32), decoder._scored)
    assert [tuple(batch.measures_N8.shape) for batch in group] == [(24, 8), (24, 8), (15, 8)]
    assert {batch.logits_NLM.device.type for batch in group} == {"meta"}
    assert copies.operations == []
    with CopiesToTheDevice() as copies:  # the list is not empty by accident
        torch.ones(3).to("meta")
    assert len(copies.operations) == 1


@pytest.mark.parametrize(
    "encoder",
    [SMALL.encoder, TinyVitPreset(64, (8, 16, 16, 32), (1, 1, 1, 1), (2, 2, 2, 2), out_chans=32)],
    ids=["vit", "tiny_vit"],
)
def test_encoding_is_queued_without_a_wait(encoder: Any) -> None:
    with torch.device("meta"):
        sam = build_sam(SamPreset(encoder, decoder_num_heads=4, decoder_mlp_dim=48))
        images = torch.empty(2, 3, 64, 64)
    with CopiesToTheDevice() as copies, torch.inference_mode():
        features = sam.image_encoder(images)
        side = crop_side(sam, features[:1])
    assert side.key0_hdP.device.type == "meta"
    assert copies.operations == []


def test_overlapped_crops_give_what_one_after_the_other_gives(
    sam: Sam, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 5, 7, 3), dtype=np.uint8)
    images = [np.kron(noise[i], np.ones((9 + i, 9, 1), np.uint8)) for i in range(3)]
    options: dict[str, Any] = {"pred_iou_thresh": 0, "stability_score_thresh": 0, "crop_n_layers": 1}
    expected = SamAutomaticMaskGenerator(sam, 3, decoder=TorchDecoder, **options).generate_batch(images)
    monkeypatch.setattr(generator, "mapped", mapped_ahead)
    overlapped = SamAutomaticMaskGenerator(sam, 3, decoder=DeviceDecoder, **options).generate_batch(images)
    assert [masks.counts for masks in overlapped] == [masks.counts for masks in expected]
    assert all(len(masks) for masks in overlapped)


def test_images_are_taken_ahead_of_the_masks(sam: Sam, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator, "mapped", mapped_ahead)
    images, taken = [np.full((30, 40 + number, 3), 99, np.uint8) for number in range(6)], list[int]()

    def stream() -> Iterator[np.ndarray]:
        for image in images:
            taken.append(image.shape[1])
            yield image

    ours = SamAutomaticMaskGenerator(sam, 1, decoder=DeviceDecoder).generate_many(stream())
    given = [(masks.width, len(taken)) for masks in ours]
    assert given == [(40, 3), (41, 4), (42, 5), (43, 6), (44, 6), (45, 6)]


def test_a_device_is_idle_when_all_that_was_taken_is_done(sam: Sam, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator, "mapped", mapped_ahead)
    may_decode, done = Event(), SimpleQueue[float]()

    def decoder(*made_from: Any) -> DeviceDecoder:
        assert may_decode.wait(60)
        return DeviceDecoder(*made_from)

    ours = SamAutomaticMaskGenerator(sam, 1, decoder=decoder)
    seen = list[bool]()

    def stream() -> Iterator[np.ndarray]:
        for _ in range(2):
            yield np.full((30, 40, 3), 99, np.uint8)
            seen.append(ours.idle_since == math.inf)
        may_decode.set()
        for _ in range(2):
            done.get(timeout=60)
        seen.append(ours.idle_since == math.inf)

    ends = UnderWay.ends

    @contextmanager
    def ends_and_tells(under_way: UnderWay) -> Iterator[None]:
        with ends(under_way):
            yield
        done.put(under_way.idle_since)

    monkeypatch.setattr(UnderWay, "ends", ends_and_tells)
    assert len(list(ours.generate_many(stream()))) == 2
    assert seen == [True, True, False]
