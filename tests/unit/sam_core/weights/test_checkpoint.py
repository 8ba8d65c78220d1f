"""Checkpoints of every format load the same model; each kind of bad file has its own one-sentence error."""

import logging
import pickle
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
import safetensors.torch
import torch
from torch import Tensor

from sam_core.weights.checkpoint import read_checkpoint
from sam_core.weights.error import CheckpointError
from sam_core.weights.files import bundled_checkpoint
from sam_core.weights.known import KNOWN_CHECKPOINTS
from sam_core.weights.registry import load_sam, sam_model_registry
from sam_core.weights.tensors import file_content


@pytest.fixture(scope="module")
def bundled() -> dict[str, Tensor]:
    return safetensors.torch.load_file(bundled_checkpoint())


def test_the_bundled_weights_are_mobile_sam_raised_to_float32(bundled: dict[str, Tensor]) -> None:
    checkpoint = read_checkpoint(bundled_checkpoint())
    assert checkpoint.model_type == "vit_t"
    assert checkpoint.sha256 == "505afea72f8c3834ef9b70a7b62b6462d0a58c9d07b432231283b55671030038"
    assert {tensor.dtype for tensor in checkpoint.state_dict.values()} == {torch.float32, torch.int64}
    assert checkpoint.state_dict.keys() == bundled.keys()
    assert all(
        torch.equal(checkpoint.state_dict[name], bundled[name].to(t.dtype)) for name, t in bundled.items()
    )


def save_as_pth(state: dict[str, Tensor], path: Path) -> None:
    torch.save(state, path)


def save_as_old_pth(state: dict[str, Tensor], path: Path) -> None:
    torch.save(state, path, _use_new_zipfile_serialization=False)


def save_as_safetensors(state: dict[str, Tensor], path: Path) -> None:
    safetensors.torch.save_file(state, path)


@pytest.mark.parametrize("save", [save_as_pth, save_as_old_pth, save_as_safetensors])
def test_the_form_is_found_from_the_content(
    save: Callable[[dict[str, Tensor], Path], None],
    bundled: dict[str, Tensor],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "weights.bin"
    save(bundled, path)
    with caplog.at_level(logging.WARNING):
        loaded = load_sam(path)
    assert loaded.model_type == "vit_t"
    weight = "image_encoder.patch_embed.seq.0.c.weight"
    assert torch.equal(loaded.sam.state_dict()[weight], bundled[weight].float())
    assert loaded.sha256 in caplog.text  # unknown weights are reported, not refused


def test_tinyvits_classifier_and_constants_are_left_out(bundled: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "mine.pt"
    index = "image_encoder.layers.1.blocks.0.attn.attention_bias_idxs"
    unused = {
        "image_encoder.head.weight": torch.zeros(1000, 320),
        index: torch.zeros(49, 49, dtype=torch.int64),
    }
    torch.save({**bundled, **unused, "image_encoder.norm_head.bias": torch.zeros(320)}, path)
    assert read_checkpoint(path).state_dict.keys() == bundled.keys()


# The files are sound; the process may take 64 MiB more than it has.
SHORT_OF_MEMORY = """
import resource, sys
from pathlib import Path
from sam_core.weights.error import CheckpointError
from sam_core.weights.tensors import file_content
held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + 2**26, resource.RLIM_INFINITY))
for path in sys.argv[1:]:
    try:
        file_content(Path(path))
    except CheckpointError as refused:
        print(refused)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to RLIMIT_AS")
def test_a_sound_file_for_which_memory_is_missing_is_not_called_damaged(tmp_path: Path) -> None:
    paths = [str(tmp_path / form) for form in ("pth", "old pth", "safetensors")]
    for save, path in zip((save_as_pth, save_as_old_pth, save_as_safetensors), paths, strict=True):
        save({"a": torch.zeros(2**25)}, Path(path))
    answer = subprocess.run(
        [sys.executable, "-c", SHORT_OF_MEMORY, *paths], capture_output=True, text=True, check=True
    )
    for path, said in zip(paths, answer.stdout.splitlines(), strict=True):
        assert said.startswith(f"there is not enough memory to read {path}, which has 134,"), said


class Runs:
    """A pickle that would run code."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        # Not print, which a Ray session of the same process may have replaced.
        return exec, ("",)


def test_damaged_files_of_every_form_are_refused_or_read_and_never_crash(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    random = Random(0)
    for save in (save_as_pth, save_as_old_pth, save_as_safetensors):
        save({"a": torch.zeros(3), "b.c": torch.ones(2, 2)}, path)
        whole = path.read_bytes()
        for _ in range(100):
            damaged = bytearray(whole)
            for _ in range(random.randint(1, 4)):
                damaged[random.randrange(len(damaged))] = random.randrange(256)
            path.write_bytes(damaged)
            with suppress(CheckpointError):
                file_content(path)


def write_bad_file(kind: str, state: dict[str, Tensor], path: Path) -> None:
    whole = bundled_checkpoint().read_bytes()
    if kind == "page":
        path.write_text("<!DOCTYPE html><title>404</title>")
    elif kind == "cut-off safetensors":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "cut-off header":
        path.write_bytes(whole[:20])
    elif kind == "cut-off pth":
        torch.save(state, path)
        path.write_bytes(path.read_bytes()[:-100_000])
    elif kind == "cut-off old pth":
        torch.save(state, path, _use_new_zipfile_serialization=False)
        path.write_bytes(path.read_bytes()[:-100_000])
    elif kind == "zip":
        path.write_bytes(b"PK\x03\x04" + bytes(100))
    elif kind == "code":
        torch.save({"weights": Runs()}, path)
    elif kind == "old code":
        path.write_bytes(pickle.dumps(Runs(), protocol=2))
    elif kind == "program":
        torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), path)
    elif kind == "pointer":
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 40728226\n")
    elif kind == "onnx":
        path.write_bytes(b"\x08\x07\x12\x07pytorch" + bytes(100))
    elif kind == "list":
        torch.save(list(state.values()), path)
    elif kind == "other model":
        torch.save({"conv1.weight": torch.zeros(3)}, path)
    elif kind == "no tensors":
        torch.save({}, path)
    elif kind == "tensor missing":
        torch.save({name: t for name, t in state.items() if name != "mask_decoder.iou_token.weight"}, path)
    elif kind == "tensor too many":
        torch.save({**state, "mask_decoder.mine.weight": torch.zeros(1, 256)}, path)
    elif kind == "another shape":
        torch.save({**state, "mask_decoder.iou_token.weight": torch.zeros(2, 256)}, path)
    elif kind == "empty":
        path.touch()


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("absent", "there is no checkpoint file"),
        ("empty", "is not a checkpoint: expected safetensors or a file written by torch.save"),
        ("page", "is not a checkpoint but a web page; check that the download is the file itself"),
        ("pointer", "is not a checkpoint but a Git LFS pointer; fetch the file itself with git lfs pull"),
        ("onnx", "is not a checkpoint but an ONNX model"),
        ("program", "is a TorchScript program, not a checkpoint; save the model's state_dict()"),
        ("cut-off safetensors", "is damaged or cut off at 10038880 bytes"),
        ("cut-off header", "is damaged or cut off at 20 bytes"),
        ("cut-off pth", "is damaged or cut off"),
        ("cut-off old pth", "is damaged or cut off"),
        ("zip", "is damaged or cut off at 104 bytes"),
        (
            "code",
            "holds exec besides tensors and plain values, and was not loaded because loading it could run "
            "code",
        ),
        ("old code", "holds exec besides tensors and plain values, and was not loaded"),
        ("list", "expected a dictionary of tensors; save the model's state_dict()"),
        ("other model", "found 1 tensors such as conv1.weight"),
        ("no tensors", "found 0 tensors; choose a SAM or MobileSAM checkpoint"),
        ("tensor missing", "found 1 missing (such as mask_decoder.iou_token.weight)"),
        ("tensor too many", "found 1 unknown (such as mask_decoder.mine.weight)"),
        ("another shape", "found 1 of another shape (such as mask_decoder.iou_token.weight)"),
    ],
)
def test_a_bad_file_is_told_in_one_sentence(
    kind: str, sentence: str, bundled: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "weights.bin"
    write_bad_file(kind, bundled, path)
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert str(path) in message
    assert sentence in message
    assert "\n" not in message
    assert capsys.readouterr().out == ""  # nothing in the file ran


@pytest.mark.parametrize("known", KNOWN_CHECKPOINTS, ids=lambda known: known.file_name)
def test_a_file_that_claims_to_be_published_must_have_the_published_content(
    known: object, bundled: dict[str, Tensor], tmp_path: Path
) -> None:
    path = tmp_path / known.file_name  # type: ignore[attr-defined]
    torch.save(bundled, path)
    with pytest.raises(CheckpointError, match=r"is not the published .* download it again, or rename it"):
        read_checkpoint(path)


def test_a_fine_tuned_file_of_a_published_size_is_welcome(
    bundled: dict[str, Tensor], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "fine-tuned.safetensors"
    content = bytearray(bundled_checkpoint().read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert read_checkpoint(path).state_dict.keys() == bundled.keys()
    assert "is not one of the published checkpoints" in caplog.text


def test_the_registry_refuses_weights_of_another_type() -> None:
    with pytest.raises(CheckpointError, match="is a vit_t checkpoint: expected vit_b"):
        sam_model_registry["vit_b"](checkpoint=bundled_checkpoint())
    assert set(sam_model_registry) == {"vit_h", "vit_l", "vit_b", "vit_t", "default"}
    assert sam_model_registry["default"] is sam_model_registry["vit_h"]
    assert not sam_model_registry["vit_t"](checkpoint=bundled_checkpoint()).training
    assert not sam_model_registry["vit_t"]().training


def test_a_file_that_cannot_be_read_is_told_in_one_sentence() -> None:
    unreadable = Path("/proc/self/mem")  # a file even for root, and its first bytes are nobody's
    with pytest.raises(CheckpointError, match=r"/proc/self/mem cannot be read \(Input/output error\); check"):
        read_checkpoint(unreadable)


def test_a_file_that_is_not_there_is_what_open_says(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^there is no checkpoint file at .*; check the path$"):
        sam_model_registry["vit_b"](tmp_path / "none.pth")
