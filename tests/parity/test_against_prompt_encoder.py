"""Our PromptEncoder compared with the original's, on every combination of prompts."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from sam_core.model.prompt_encoder import PromptEncoder

SIZES = {"embed_dim": 32, "image_embedding_size": (6, 8), "input_image_size": (96, 128), "mask_in_chans": 8}


@pytest.fixture
def both(
    segment_anything: object, same_weights: Callable[..., None]
) -> tuple[PromptEncoder, torch.nn.Module]:
    from segment_anything.modeling import PromptEncoder as Original

    ours, original = PromptEncoder(**SIZES), Original(**SIZES)
    same_weights(ours, original)
    return ours, original


def points() -> tuple[Tensor, Tensor]:
    # Label 2 has no meaning: only the point's position counts.
    labels = torch.tensor([[1, 0, -1], [0, 1, 1], [1, 1, 0], [-1, 0, 2]])
    return torch.rand(4, 3, 2) * 96, labels.int()


def boxes() -> Tensor:
    return torch.rand(4, 4) * 96


def masks() -> Tensor:
    return torch.randn(4, 1, 24, 32)


@pytest.mark.parametrize("with_points", [True, False])
@pytest.mark.parametrize("with_boxes", [True, False])
@pytest.mark.parametrize("with_masks", [True, False])
@torch.no_grad()
def test_embeddings(
    both: tuple[PromptEncoder, torch.nn.Module], with_points: bool, with_boxes: bool, with_masks: bool
) -> None:
    ours, original = both
    prompts = {
        "points": points() if with_points else None,
        "boxes": boxes() if with_boxes else None,
        "masks": masks() if with_masks else None,
    }
    before = [tensor.clone() for tensor in prompts["points"] or ()]
    our_sparse, our_dense = ours(**prompts)
    sparse, dense = original(**prompts)
    assert_close(our_sparse, sparse, atol=1e-4, rtol=1e-4)
    assert_close(our_dense, dense, atol=1e-4, rtol=1e-4)
    assert all(torch.equal(a, b) for a, b in zip(before, prompts["points"] or (), strict=True))


@torch.no_grad()
def test_dense_positions(both: tuple[PromptEncoder, torch.nn.Module]) -> None:
    ours, original = both
    assert_close(ours.get_dense_pe(), original.get_dense_pe(), atol=1e-4, rtol=1e-4)
