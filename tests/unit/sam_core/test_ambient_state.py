"""Whatever a script has switched on around a call, the masks are the same, and the state is restored."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from small_sam import SMALL, small_sam

from sam_core import generator as generator_module
from sam_core.crop_streams import mapped_ahead
from sam_core.decoding.gpu_decoder import DeviceDecoder
from sam_core.decoding.native.decoder import NativeDecoder
from sam_core.decoding.torch_decoder import TorchDecoder
from sam_core.generator import SamAutomaticMaskGenerator
from sam_core.model.build import build_sam
from sam_core.model.presets import SamPreset, VitPreset
from sam_core.model.sam import Sam
from sam_core.predictor import SamPredictor

pytestmark = pytest.mark.usefixtures("one_thread")
# A tiny encoder before SAM's own decoder, because the C kernel supports no other decoder.
SERVED = SamPreset(VitPreset(32, depth=1, num_heads=4, global_attn_indexes=(0,), img_size=128, window_size=3))
EVERYTHING: dict[str, Any] = {
    "points_per_batch": 4,
    "pred_iou_thresh": 0,
    "stability_score_thresh": 0,
    "box_nms_thresh": 1,
    "crop_nms_thresh": 1,
}
IMAGE = np.kron(
    np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8), np.ones((9, 9, 1), np.uint8)
)
State = Callable[[Sam], AbstractContextManager[Any]]


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def default_device(device: str) -> Iterator[None]:
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def autocast_of_gpu() -> Iterator[None]:
    """Sets the state of `torch.autocast("cuda")`, which without a GPU would only warn."""
    torch.set_autocast_enabled("cuda", True)
    try:
        yield
    finally:
        torch.set_autocast_enabled("cuda", False)


@contextmanager
def in_training(sam: Sam) -> Iterator[None]:
    sam.train()
    try:
        yield
    finally:
        sam.eval()


@contextmanager
def deterministic() -> Iterator[None]:
    torch.set_deterministic_debug_mode("error")
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode("default")


@contextmanager
def products(precision: str) -> Iterator[None]:
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


STATES: dict[str, State] = {
    "autocast to bfloat16": lambda sam: torch.autocast("cpu", dtype=torch.bfloat16),
    "autocast to float16": lambda sam: torch.autocast("cpu", dtype=torch.float16),
    "autocast of a GPU": lambda sam: autocast_of_gpu(),
    "float64 by default": lambda sam: default_dtype(torch.float64),
    "float16 by default": lambda sam: default_dtype(torch.float16),
    "meta device by default": lambda sam: default_device("meta"),
    "meta device around": lambda sam: torch.device("meta"),
    "inference mode": lambda sam: torch.inference_mode(),
    "no gradients": lambda sam: torch.no_grad(),
    "gradients": lambda sam: torch.enable_grad(),
    "training": in_training,
    "deterministic": lambda sam: deterministic(),
    "products in TF32": lambda sam: products("high"),
    "products in bfloat16": lambda sam: products("medium"),
}


def described(sam: Sam) -> tuple[Any, ...]:
    """All state that a call might change."""
    return (
        [torch.is_autocast_enabled(device) for device in ("cpu", "cuda")],
        [torch.get_autocast_dtype(device) for device in ("cpu", "cuda")],
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_num_threads(),
        torch.get_float32_matmul_precision(),
        torch.backends.cudnn.allow_tf32,
        sam.training,
        [parameter.requires_grad for parameter in sam.parameters()],
    )


@pytest.fixture(scope="module")
def served() -> Sam:
    torch.manual_seed(0)
    sam = build_sam(SERVED)
    with torch.no_grad():
        for parameter in sam.parameters():
            parameter *= 3 if parameter.ndim > 1 else 1
    return sam


@pytest.fixture(
    scope="module",
    params=[TorchDecoder, DeviceDecoder, NativeDecoder],
    ids=lambda decoder: decoder.__name__,
)
def generator(request: pytest.FixtureRequest, served: Sam) -> SamAutomaticMaskGenerator:
    return SamAutomaticMaskGenerator(served, 2, decoder=request.param, **EVERYTHING)


@pytest.fixture(scope="module")
def plain(generator: SamAutomaticMaskGenerator) -> list[dict[str, Any]]:
    return generator.generate(IMAGE)


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_the_records_are_the_same(
    generator: SamAutomaticMaskGenerator, plain: list[dict[str, Any]], state: State
) -> None:
    with state(generator.model):
        before = described(generator.model)
        records = generator.generate(IMAGE)
        assert described(generator.model) == before
    assert len(records) > 10
    np.testing.assert_equal(records, plain)


def test_the_records_are_the_same_from_threads(served: Sam, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, where each crop is decoded in a thread."""
    monkeypatch.setattr(generator_module, "mapped", mapped_ahead)
    generator = SamAutomaticMaskGenerator(served, 2, decoder=DeviceDecoder, crop_n_layers=1, **EVERYTHING)
    plain = generator.generate(IMAGE)
    for state in STATES.values():
        with state(served):
            np.testing.assert_equal(generator.generate(IMAGE), plain)


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_the_predictor_and_the_model_answer_the_same(served: Sam, state: State) -> None:
    points = {"point_coords": np.array([[10, 20], [30, 5]]), "point_labels": np.array([1, 0])}
    tensors = {"point_coords": torch.tensor([[[10.0, 20.0]]]), "point_labels": torch.tensor([[1]])}
    pixels = torch.full((3, 90, 128), 100.0)

    def answers() -> list[np.ndarray]:
        predictor = SamPredictor(served)
        predictor.set_image(IMAGE, "BGR")
        boxed = predictor.predict(box=np.array([5, 5, 40, 30]), return_logits=True)
        pointed = predictor.predict(**points, mask_input=boxed[2][:1])
        batched = served([{"image": pixels, "original_size": (45, 64), **tensors}], multimask_output=True)
        features = [predictor.get_image_embedding(), served.encode(IMAGE).features_1Chw]
        return [*boxed, *pointed, *batched[0].values(), *features]

    plain = answers()
    with state(served):
        before = described(served)
        answered = answers()
        assert described(served) == before
    for ours, other in zip(answered, plain, strict=True):
        assert ours.dtype == other.dtype
        np.testing.assert_array_equal(ours, other)


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_a_fault_leaves_the_state_as_it_was(served: Sam, state: State) -> None:
    with state(served):
        before = described(served)
        with pytest.raises(ValueError, match="an image must be"):
            SamAutomaticMaskGenerator(served, 1).generate(None)
        assert described(served) == before


@pytest.mark.parametrize("name", ["float64 by default", "meta device by default", "inference mode"])
def test_a_model_built_in_a_state_is_the_same(name: str) -> None:
    plain = SamAutomaticMaskGenerator(small_sam(), 2, **EVERYTHING).generate(IMAGE)
    weights = small_sam().state_dict()
    with STATES[name](small_sam()):
        sam = build_sam(SMALL)
        sam.load_state_dict(weights, assign=True)
        records = SamAutomaticMaskGenerator(sam, 2, **EVERYTHING).generate(IMAGE)
    np.testing.assert_equal(records, plain)


def test_other_threads_give_the_same_masks_but_for_rounding(served: Sam) -> None:
    """Torch sums in another order, so a logit of nearly 0 may change its sign."""
    generator = SamAutomaticMaskGenerator(served, 3, **EVERYTHING)
    plain = generator.generate_masks(IMAGE)
    for threads in (2, 3):
        torch.set_num_threads(threads)
        masks = generator.generate_masks(IMAGE)
        assert torch.get_num_threads() == threads
        torch.set_num_threads(1)
        np.testing.assert_allclose(masks.predicted_iou, plain.predicted_iou, atol=1e-4)
        np.testing.assert_allclose(masks.area, plain.area, atol=3)
