"""The kernel's edges, interpreted, against the torch decoder's runs, placed in the image."""

import numpy as np
import pytest
import torch
from smooth_logits import smooth_logits

from sam_core.decoding.crop_frame import CropFrame
from sam_core.decoding.low_res_mask import low_res_mask, mask_runs
from sam_core.decoding.triton import edges as edges_module
from sam_core.decoding.triton.device_taps import DeviceTaps
from sam_core.decoding.triton.edges import edges_of
from sam_core.masks.crops import XYXY
from sam_core.masks.rle import placed_runs

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
SMALL = {"image_size": 64, "low_res_size": 16}
LARGE = {"image_size": 512, "low_res_size": 128}


@pytest.fixture(autouse=True)
def large_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large blocks: the interpreter takes as long for many rows as for few. Other tests use small blocks."""
    monkeypatch.setattr(edges_module, "ROWS", 32)


def by_torch(logits_LM: torch.Tensor, frame: CropFrame, crop: XYXY, image: tuple[int, int]) -> np.ndarray:
    mask = low_res_mask(logits_LM[: frame.shown[0], : frame.shown[1]].numpy())
    runs = mask_runs(mask, frame.row_taps.matrix(), frame.column_taps.matrix())
    return np.cumsum(placed_runs(runs, crop, *image))[:-1]


def by_kernel(
    logits_NLM: torch.Tensor,
    kept: list[int],
    frame: CropFrame,
    crop: XYXY,
    image: tuple[int, int],
    capacity: int,
    room: int = 10_000,
) -> tuple[np.ndarray, np.ndarray]:
    places, count = torch.zeros(capacity, dtype=torch.int32), torch.tensor([len(kept)], dtype=torch.int32)
    places[: len(kept)] = torch.tensor(kept[:capacity], dtype=torch.int32)
    taps = DeviceTaps.of(frame, CPU)
    edges_E, ends_K = edges_of(logits_NLM, places, count, taps, capacity, 0.0, room, crop, image)
    return edges_E.numpy(), ends_K.numpy()


def assert_edges(frame: CropFrame, crop: XYXY, image: tuple[int, int], kept: list[int]) -> None:
    logits_NLM = smooth_logits(7, frame, seed=frame.width)
    edges_E, ends_K = by_kernel(logits_NLM, kept, frame, crop, image, capacity=len(kept) + 1)
    expected = [by_torch(logits_NLM[index], frame, crop, image) for index in kept]
    ends = np.cumsum([len(edges) for edges in expected])
    np.testing.assert_array_equal(ends_K, [*ends, ends[-1]])
    for edges, theirs in zip(np.split(edges_E, ends)[:-1], expected, strict=True):
        np.testing.assert_array_equal(edges, theirs)


@pytest.mark.parametrize(
    ("frame", "kept"),
    [
        (CropFrame(30, 41, **SMALL), [4, 1, 3]),
        (CropFrame(7, 9, **SMALL), [5, 4, 2, 1, 0]),
        (CropFrame(70, 20, **SMALL), [3, 4]),
        (CropFrame(90, 1, **SMALL), [4, 1]),
        (CropFrame(1, 1, **SMALL), [1, 0]),
        (CropFrame(12, 16, **LARGE), [3]),
    ],
)
def test_edges_of_an_image_are_those_of_the_torch_decoder(frame: CropFrame, kept: list[int]) -> None:
    size = (frame.height, frame.width)
    assert_edges(frame, (0, 0, size[1], size[0]), size, kept)


def test_edges_of_a_line_of_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edges_module, "STRIP", 1024)
    assert_edges(CropFrame(1, 3000), (0, 0, 3000, 1), (1, 3000), [4, 1])


@pytest.mark.parametrize(
    ("corner", "image"),
    [
        ((5, 7), (60, 70)),  # inside
        ((0, 0), (60, 70)),
        ((46, 44), (60, 70)),  # the image's last corner
        ((9, 0), (16, 70)),  # as high as the image, whose columns follow each other
        ((46, 0), (16, 70)),
        ((0, 44), (60, 24)),  # as wide
    ],
)
def test_edges_of_a_crop_lie_in_the_image(corner: tuple[int, int], image: tuple[int, int]) -> None:
    x, y = corner
    assert_edges(CropFrame(16, 24, **SMALL), (x, y, x + 24, y + 16), image, [1, 3, 4])


def test_what_has_no_room_is_counted_and_not_written() -> None:
    frame, whole, size = CropFrame(15, 20, **SMALL), (0, 0, 20, 15), (15, 20)
    logits_NLM = smooth_logits(5, frame, seed=1)
    every, ends_K = by_kernel(logits_NLM, [4, 3], frame, whole, size, capacity=2)
    room = int(ends_K[0]) + 5
    assert room < ends_K[1]
    some, same_K = by_kernel(logits_NLM, [4, 3], frame, whole, size, capacity=2, room=room)
    np.testing.assert_array_equal(same_K, ends_K)
    np.testing.assert_array_equal(some, every[:room])
    first, first_K = by_kernel(logits_NLM, [4, 3], frame, whole, size, capacity=1)
    np.testing.assert_array_equal(first_K, ends_K[:1])
    np.testing.assert_array_equal(first[: first_K[0]], every[: first_K[0]])
