"""A GPU that cannot label is detected before the model is moved there; one sentence says what to do."""

from dataclasses import replace

import pytest
import torch

from pipeline.errors import SamLabelError
from pipeline.labelling.given_gpu import WORKING_BYTES, GivenGpu

WEIGHTS = 2_400_000_000  # ViT-H's
CARD = GivenGpu("H100", total_bytes=80_000_000_000, free_bytes=79_000_000_000)


def test_a_model_that_fits_goes_there() -> None:
    CARD.refuse_what_does_not_fit("vit_h", WEIGHTS)
    replace(CARD, free_bytes=WEIGHTS + WORKING_BYTES).refuse_what_does_not_fit("vit_h", WEIGHTS)


def test_a_card_that_is_too_small() -> None:
    small = GivenGpu("T400", total_bytes=4_000_000_000, free_bytes=3_900_000_000)
    with pytest.raises(
        SamLabelError,
        match=r"^vit_h needs 5\.6 GB of GPU memory, and the T400 on .+ has 4\.0 GB; use a smaller",
    ):
        small.refuse_what_does_not_fit("vit_h", WEIGHTS)


def test_a_card_that_others_hold() -> None:
    held = replace(CARD, free_bytes=1_000_000_000)
    with pytest.raises(
        SamLabelError, match=r"has 1\.0 GB free of 80\.0 GB: other processes use the rest; end"
    ):
        held.refuse_what_does_not_fit("vit_h", WEIGHTS)


def test_a_torch_for_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(SamLabelError, match=r"is built for CPUs, but the labeler was given a GPU; install"):
        GivenGpu.here()


def test_a_driver_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_old(*_: object, **__: object) -> None:
        raise RuntimeError(
            "The NVIDIA driver on your system is too old (found version 11040).\nPlease update"
        )

    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch, "zeros", too_old)
    with pytest.raises(
        SamLabelError,
        match=r"cannot use the GPU: The NVIDIA driver .* too old \(found version 11040\); check",
    ):
        GivenGpu.here()


def test_a_card_without_room_for_a_context(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be")

    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch, "zeros", full)
    with pytest.raises(
        SamLabelError, match=r"has no memory left for a labeler: other processes use the rest"
    ):
        GivenGpu.here()
