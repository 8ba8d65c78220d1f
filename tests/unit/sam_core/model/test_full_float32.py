"""A model works in full float32, whatever torch's flags say, and the flags are restored afterwards."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch
from small_sam import small_sam
from torch import backends
from torch.nn.modules.module import register_module_forward_pre_hook

from sam_core import generator as generator_module
from sam_core.crop_streams import mapped_ahead
from sam_core.decoding.gpu_decoder import DeviceDecoder
from sam_core.generator import SamAutomaticMaskGenerator
from sam_core.model.full_float32 import full_float32
from sam_core.model.sam import Sam
from sam_core.predictor import SamPredictor

pytestmark = pytest.mark.usefixtures("one_thread")
HAS_NEWER = hasattr(backends.cudnn, "conv")
IMAGE = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)


def read(flag: Callable[[], Any]) -> Any:
    try:
        return flag()
    except RuntimeError:
        return "mixed"


def flags() -> dict[str, Any]:
    older = {
        "products": read(torch.get_float32_matmul_precision),
        "cuda": read(lambda: backends.cuda.matmul.allow_tf32),
        "cudnn": read(lambda: backends.cudnn.allow_tf32),
    }
    if not HAS_NEWER:
        return older
    newer = {
        "matmul": backends.cuda.matmul,
        "conv": backends.cudnn.conv,
        "rnn": backends.cudnn.rnn,
        "cpu matmul": backends.mkldnn.matmul,
        "cpu conv": backends.mkldnn.conv,
        "all": backends,
    }
    return older | {name: holder.fp32_precision for name, holder in newer.items()}


def is_full() -> bool:
    names = ("matmul", "conv", "cpu matmul", "cpu conv")
    return (
        flags()["products"] in ("highest", "mixed")
        and flags()["cudnn"] in (False, "mixed")
        and all(flags()[name] in ("ieee", "none") for name in names if HAS_NEWER)
    )


def newer(*holders: Any, precision: str = "tf32") -> None:
    for holder in holders:
        holder.fp32_precision = precision


STATES: dict[str, Callable[[], None]] = {
    "torch's default": lambda: None,
    "cudnn off": lambda: setattr(backends.cudnn, "allow_tf32", False),
    "high": lambda: torch.set_float32_matmul_precision("high"),
    "medium": lambda: torch.set_float32_matmul_precision("medium"),
}
if HAS_NEWER:
    STATES |= {
        "products in the newer set": lambda: newer(backends.cuda.matmul),
        "convolutions in the newer set": lambda: newer(backends.cudnn.conv, precision="ieee"),
        "all of a backend": lambda: newer(backends.cudnn),
        "all": lambda: newer(backends),
        "bfloat16 on a CPU": lambda: newer(backends.mkldnn.matmul, backends.mkldnn.conv, precision="bf16"),
        "both sets": lambda: (torch.set_float32_matmul_precision("high"), newer(backends.mkldnn.conv)),
        "sets that differ": lambda: (
            torch.set_float32_matmul_precision("high"),
            newer(backends.cuda.matmul, precision="ieee"),
        ),
    }


@pytest.fixture(autouse=True)
def as_torch_has_it() -> Iterator[None]:
    yield
    torch.set_float32_matmul_precision("highest")
    backends.cudnn.allow_tf32 = True
    if HAS_NEWER:
        newer(backends, backends.cudnn, precision="none")
        newer(backends.mkldnn.matmul, backends.mkldnn.conv, backends.cuda.matmul, precision="none")


@pytest.fixture
def sam() -> Sam:
    return small_sam()


@contextmanager
def layers_asked(sam: Sam) -> Iterator[list[bool]]:
    """Asserts that each called layer found full float32."""
    seen = list[bool]()

    def asked(layer: torch.nn.Module, _: Any) -> None:
        if layer is not sam:  # its own call switches the flags
            seen.append(is_full())

    hook = register_module_forward_pre_hook(asked)
    try:
        yield seen
    finally:
        hook.remove()
    assert seen
    assert all(seen)


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_every_layer_finds_it_in_full(sam: Sam, state: Callable[[], None]) -> None:
    """In the model, the predictor and the generator, and from the threads of crops."""
    predictor = SamPredictor(sam)
    calls: list[Callable[[], Any]] = [
        lambda: sam.encode(IMAGE),
        lambda: sam.encode_batch([IMAGE], torch.bfloat16),
        lambda: sam([{"image": torch.zeros(3, 48, 64), "original_size": (30, 40)}], multimask_output=True),
        lambda: predictor.set_image(IMAGE),
        lambda: predictor.predict(np.array([[3, 4]]), np.array([1])),
        lambda: SamAutomaticMaskGenerator(sam, 2, decoder=DeviceDecoder).generate(IMAGE),
    ]
    state()
    before = flags()
    for call in calls:
        with layers_asked(sam):
            call()
        assert flags() == before


def test_threads_of_crops_restore_it_once(sam: Sam, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator_module, "mapped", mapped_ahead)
    torch.set_float32_matmul_precision("high")
    before = flags()
    generator = SamAutomaticMaskGenerator(sam, 3, decoder=DeviceDecoder, crop_n_layers=1)
    with layers_asked(sam):
        generator.generate_batch([IMAGE] * 3)
    assert flags() == before


@pytest.mark.parametrize("first_out", [0, 1])
def test_the_last_one_out_restores(first_out: int) -> None:
    torch.set_float32_matmul_precision("high")
    before = flags()
    entered, may_leave = [Event(), Event()], [Event(), Event()]

    def inside(number: int) -> None:
        with full_float32():
            entered[number].set()
            assert may_leave[number].wait(60)
            assert is_full()
            raise RuntimeError("as a layer may")

    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit(inside, number) for number in (0, 1)]
        assert all(event.wait(60) for event in entered)
        for number in (first_out, 1 - first_out):
            assert is_full()
            may_leave[number].set()
            with pytest.raises(RuntimeError, match="as a layer may"):
                done[number].result(60)
    assert flags() == before


def test_what_somebody_sets_meanwhile_stays() -> None:
    with full_float32():
        torch.set_float32_matmul_precision("high")
        backends.cudnn.allow_tf32 = False
    assert (flags()["products"], flags()["cudnn"]) == ("high", True)  # False was the value before
    torch.set_float32_matmul_precision("highest")
    with full_float32():
        torch.set_float32_matmul_precision("medium")
        with full_float32():
            assert is_full()
        assert is_full()
    assert flags()["products"] == "medium"


@pytest.mark.skipif(not HAS_NEWER, reason="this torch has one set of flags")
def test_a_flag_that_followed_another_does_so_afterwards() -> None:
    newer(backends)
    with full_float32():
        assert is_full()
    newer(backends, precision="none")
    assert backends.cuda.matmul.fp32_precision == "none"
