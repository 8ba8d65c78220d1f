"""The model in training checkpoints: under a key, with prefixes, beside an optimizer."""

import argparse
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sam_core.weights.checkpoint import read_checkpoint
from sam_core.weights.error import CheckpointError
from sam_core.weights.registry import load_sam

State = dict[str, Tensor]


@pytest.fixture
def state(small_vit_b: State) -> State:
    return small_vit_b


def under(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def optimizer_of_adam() -> dict[str, Any]:
    weight = nn.Parameter(torch.zeros(2))
    adam = torch.optim.AdamW([weight])
    weight.sum().backward()
    adam.step()
    return adam.state_dict()


SAVED: dict[str, Callable[[State], dict[Any, Any]]] = {
    "MedSAM": lambda state: {"model": state, "optimizer": optimizer_of_adam(), "epoch": 1},
    "a score beside it": lambda state: {"model": state, "loss": torch.tensor(0.3), "best": 0.9},
    "Lightning": lambda state: {
        "state_dict": {**under("model.", state), "loss.weight": torch.ones(3)},
        "hyper_parameters": {"lr": 1e-4, "name": None, "sizes": (1, 2)},
        "callbacks": {},
    },
    "micro-sam": lambda state: {"model_state": under("sam.", state), "optimizer_state": optimizer_of_adam()},
    "DataParallel": lambda state: under("module.", state),
    "torch.compile": lambda state: under("_orig_mod.", state),
    "both": lambda state: under("_orig_mod.module.", state),
    "stacked": lambda state: {"state_dict": under("module.model.sam.", state)},
    "DataParallel of the encoder": lambda state: {
        name.replace("image_encoder.", "image_encoder.module."): tensor for name, tensor in state.items()
    },
    "nested twice": lambda state: {"model": {"state_dict": state}},
    "a normalization": lambda state: {
        **state,
        "pixel_mean": torch.tensor([123.675, 116.28, 103.53]).view(-1, 1, 1),
        "pixel_std": torch.tensor([58.395, 57.12, 57.375]).view(-1, 1, 1),
    },
    "plain values beside the tensors": lambda state: {**state, "epoch": 3, 7: "seven"},
}


@pytest.mark.parametrize("trainer", SAVED)
def test_the_model_is_found(
    trainer: str, state: State, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "checkpoint.pth"
    torch.save(SAVED[trainer](state), path)
    with caplog.at_level(logging.WARNING):
        loaded = load_sam(path)
    assert loaded.model_type == "vit_b"
    own = loaded.sam.state_dict()
    assert own.keys() == state.keys()
    assert all(torch.equal(own[name], tensor) for name, tensor in state.items())
    assert [record.args[0] for record in caplog.records if record.args] == [path]
    assert "is not one of the published checkpoints" in caplog.text


def test_a_normalization_of_its_own_is_not_used_and_told(
    state: State, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "checkpoint.pth"
    torch.save({**state, "pixel_mean": torch.zeros(3, 1, 1), "pixel_std": torch.ones(3)}, path)
    with caplog.at_level(logging.WARNING):
        loaded = load_sam(path)
    assert loaded.sam.pixel_mean.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])
    assert f"{path} has its own pixel_mean, which is ignored" in caplog.text
    assert f"{path} has its own pixel_std, which is ignored" in caplog.text


def test_sams_normalization_is_known_under_another_default_dtype(
    state: State, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "checkpoint.pth"
    torch.save(SAVED["a normalization"](state), path)
    torch.set_default_dtype(torch.float64)
    try:
        load_sam(path)
    finally:
        torch.set_default_dtype(torch.float32)
    assert "is not used" not in caplog.text


def test_of_two_models_none_is_chosen(state: State, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pth"
    torch.save({**under("student.", state), **under("teacher.", state)}, path)
    with pytest.raises(CheckpointError, match=r"more than one model \(student\.image_encoder and teacher\."):
        read_checkpoint(path)


def test_an_object_beside_the_model_is_named(state: State, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pth"
    torch.save({"model": state, "args": argparse.Namespace(lr=1)}, path)
    with pytest.raises(CheckpointError, match=r"holds argparse\.Namespace besides tensors and plain"):
        read_checkpoint(path)


def test_a_position_table_without_dimensions_is_no_encoders(state: State, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pth"
    torch.save({**state, "image_encoder.pos_embed": torch.tensor(1.0)}, path)
    with pytest.raises(CheckpointError, match="is not a SAM checkpoint"):
        read_checkpoint(path)


def test_a_dictionary_within_itself_is_no_endless_search(tmp_path: Path) -> None:
    endless: dict[str, Any] = {"x": torch.zeros(1)}
    endless["model"] = endless
    torch.save(endless, tmp_path / "checkpoint.pth")
    with pytest.raises(CheckpointError, match=r"is not a SAM checkpoint"):
        read_checkpoint(tmp_path / "checkpoint.pth")
