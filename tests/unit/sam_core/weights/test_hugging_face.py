"""The files and folders that Hugging Face's own SamModel saves today, and those of older versions."""

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from sam_core.weights.checkpoint import read_checkpoint
from sam_core.weights.error import CheckpointError
from sam_core.weights.registry import load_sam

pytestmark = pytest.mark.usefixtures("small_vit_b")

TIED = "prompt_encoder.shared_embedding.positional_embedding"
WHOLE = "shared_image_embedding.positional_embedding"


@pytest.fixture(scope="module")
def theirs() -> Any:
    """A SamModel with the small vit_b's sizes and random weights, none of them zero."""
    from transformers import SamConfig, SamModel

    torch.manual_seed(0)
    model = SamModel(
        SamConfig(
            vision_config={
                "hidden_size": 16,
                "output_channels": 16,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "image_size": 64,
                "global_attn_indexes": [1],
                "num_pos_feats": 8,
                "mlp_dim": 64,
            },
            prompt_encoder_config={"hidden_size": 16, "image_size": 64, "image_embedding_size": 4},
            mask_decoder_config={
                "hidden_size": 16,
                "mlp_dim": 16,
                "num_attention_heads": 2,
                "iou_head_hidden_dim": 8,
            },
        )
    )
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


@pytest.fixture
def folder(theirs: Any, tmp_path: Path) -> Path:
    theirs.save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


def test_a_saved_folder_gives_the_same_model(theirs: Any, folder: Path) -> None:
    loaded = load_sam(folder)
    assert loaded.model_type == "vit_b"
    pixels, points = torch.randn(1, 3, 64, 64), torch.tensor([[[20.0, 40.0]]])
    labels = torch.ones(1, 1, dtype=torch.int)
    with torch.inference_mode():
        expected = theirs(pixel_values=pixels, input_points=points[None], input_labels=labels[None])
        sam = loaded.sam
        sparse, dense = sam.prompt_encoder(points=(points, labels), boxes=None, masks=None)
        masks, iou = sam.mask_decoder(
            image_embeddings=sam.image_encoder(pixels),
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )
    assert expected.pred_masks.std() > 0.01, "with other weights the masks would differ"
    torch.testing.assert_close(masks, expected.pred_masks[0], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(iou, expected.iou_scores[0], rtol=1e-3, atol=1e-4)


def test_the_matrix_that_two_modules_share_is_found_under_either_name(folder: Path, tmp_path: Path) -> None:
    state = safetensors.torch.load_file(folder / "model.safetensors")
    assert WHOLE in state
    assert TIED not in state, "transformers saves a shared tensor once"
    official = read_checkpoint(folder).state_dict
    matrix = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
    assert torch.equal(official[matrix], state[WHOLE])
    for names in ({TIED}, {TIED, WHOLE}):  # as older versions saved it
        older = {name: tensor for name, tensor in state.items() if name != WHOLE}
        path = tmp_path / f"{len(names)}.safetensors"
        safetensors.torch.save_file({**older, **{name: state[WHOLE].clone() for name in names}}, path)
        assert torch.equal(read_checkpoint(path).state_dict[matrix], state[WHOLE])


def test_the_sha256_of_a_folder_is_that_of_its_one_file(folder: Path) -> None:
    assert read_checkpoint(folder).sha256 == read_checkpoint(folder / "model.safetensors").sha256


def test_a_model_in_several_files_is_the_same_model(theirs: Any, folder: Path, tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    theirs.save_pretrained(parts, max_shard_size="50KB")
    assert len(list(parts.glob("model-*.safetensors"))) > 1
    whole, several = read_checkpoint(folder), read_checkpoint(parts)
    assert all(torch.equal(several.state_dict[name], tensor) for name, tensor in whole.state_dict.items())
    assert several.sha256 == read_checkpoint(parts).sha256 != whole.sha256
    last = max(parts.glob("model-*.safetensors"))
    last.unlink()
    with pytest.raises(
        CheckpointError, match=rf"names the file {last.name}, which is not in the same folder"
    ):
        read_checkpoint(parts)


def test_the_older_pickled_form_of_a_folder_loads(theirs: Any, tmp_path: Path) -> None:
    torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
    assert read_checkpoint(tmp_path).model_type == "vit_b"


@pytest.mark.parametrize(
    "index",
    [
        *("{", "[]", "{}", '{"weight_map": 1}'),
        *('{"weight_map": {"a": "../model.safetensors"}}', '{"weight_map": {"a": null}}'),
    ],
)
def test_a_broken_index_is_told(tmp_path: Path, index: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(CheckpointError, match=r"model\.safetensors\.index\.json .*again"):
        read_checkpoint(tmp_path)


def test_a_folder_without_a_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds no model\.safetensors or pytorch_model\.bin; name a"):
        read_checkpoint(tmp_path)
