"""A small head is trained on the demo dataset, stopped in the middle of an epoch, and resumed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from demo_dataset import write_demo
from torch import nn

import sam_label

SIDE = 64


class Head(nn.Module):
    """Predicts for each pixel whether it lies in a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 1, 1),
        )

    def forward(self, images_N3HW: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layers(images_N3HW)
        return logits[:, 0]


def sample(record: sam_label.Record) -> dict[str, Any]:
    """A small photo and where its masks are; runs in the loader's workers."""
    rows = np.arange(SIDE) * record.height // SIDE
    columns = np.arange(SIDE) * record.width // SIDE
    return {
        "uri": record.uri,
        "image": torch.from_numpy(record.image[rows][:, columns]).permute(2, 0, 1) / 255,
        "is_masked": torch.from_numpy(record.masks((SIDE, SIDE)).any(axis=0)).float(),
    }


def loader_of(dataset: sam_label.Dataset) -> Any:
    images = dataset.to_torch(
        transform=sample,
        images=True,
        sampling=sam_label.MaskSampling(min_iou=0.9, min_area=0.001, max_area=0.5, max_masks=8),
        shuffle=True,
        seed=1,
    )
    return images.loader(batch_size=1, num_workers=2, collate_fn=torch.utils.data.default_collate)


class Training:
    """A head, its optimizer and its position in the data: the contents of a checkpoint."""

    def __init__(self, dataset: sam_label.Dataset) -> None:
        torch.manual_seed(0)
        self.head = Head()
        self.optimizer = torch.optim.Adam(self.head.parameters(), 0.003)
        self.loader = loader_of(dataset)
        self.losses: list[float] = []
        self.uris: list[str] = []

    def steps(self, count: int) -> None:
        """Trains for some steps, over as many epochs as they need."""
        while count > 0:
            for batch in self.loader:
                loss = nn.functional.binary_cross_entropy_with_logits(
                    self.head(batch["image"]), batch["is_masked"]
                )
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                self.losses.append(loss.item())
                self.uris += batch["uri"]
                count -= 1
                if count == 0:
                    return

    def save(self, path: Path) -> None:
        parts = {"head": self.head.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save({**parts, "loader": json.dumps(self.loader.state_dict())}, path)

    def load(self, path: Path) -> None:
        parts = torch.load(path)
        self.head.load_state_dict(parts["head"])
        self.optimizer.load_state_dict(parts["optimizer"])
        self.loader.load_state_dict(json.loads(parts["loader"]))


def test_a_head_learns_stops_and_goes_on_with_the_same_next_batch(tmp_path: Path) -> None:
    write_demo(str(tmp_path / "out"))
    dataset = sam_label.Dataset.open(str(tmp_path / "out"))
    undisturbed = Training(dataset)
    undisturbed.steps(18)
    assert np.mean(undisturbed.losses[-6:]) < np.mean(undisturbed.losses[:6])
    first = Training(dataset)
    first.steps(9)  # one epoch and a half
    first.save(tmp_path / "checkpoint.pt")
    second = Training(sam_label.Dataset.open(str(tmp_path / "out")))
    second.load(tmp_path / "checkpoint.pt")
    second.steps(9)
    assert first.uris + second.uris == undisturbed.uris
    assert first.losses + second.losses == pytest.approx(undisturbed.losses, rel=1e-4)
    for epoch in range(3):
        assert sorted(undisturbed.uris[6 * epoch : 6 * epoch + 6]) == sorted(record.uri for record in dataset)
