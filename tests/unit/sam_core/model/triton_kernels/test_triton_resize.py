"""The resize on the device: its taps against Pillow, its kernels against the taps and our CPU resize."""

import numpy as np
import pytest
import torch
from PIL import Image

import sam_core.model.triton.resize as device_resize
from sam_core.model.resize import ResizeLongestSide, fitted_size
from sam_core.model.sam import PIXEL_MEAN, PIXEL_STD
from sam_core.model.triton.pillow_taps import rows_first, taps, taps_resize
from sam_core.model.triton.resize import device_input, is_exact

Size = tuple[int, int]


def pillow_resize(image: np.ndarray, size: Size) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))


def picture(random: np.random.Generator, size: Size) -> np.ndarray:
    """Noise, or only black and white, whose sums reach both ends of the range."""
    image = random.integers(0, 256, (*size, 3), dtype=np.uint8)
    return image if random.random() < 0.7 else np.where(image > 127, 255, 0).astype(np.uint8)


def edge_of_the_order(random: np.random.Generator) -> tuple[Size, Size]:
    """Sizes whose rows shrink by about twice as much as their columns."""
    new = random.integers(1, 60, 2)
    fewer = int(random.integers(0, 40))
    more_rows = max(0, 2 * fewer + int(random.integers(-1, 2)))
    return (int(new[0]) + more_rows, int(new[1]) + fewer), (int(new[0]), int(new[1]))


def test_taps_give_pillows_pixels() -> None:
    random = np.random.default_rng(1)
    cases = [edge_of_the_order(random) for _ in range(150)]
    for _ in range(250):
        old = (int(random.integers(1, 300)), int(random.integers(1, 300)))
        cases.append((old, fitted_size(*old, int(random.integers(8, 200)))))
    for _ in range(50):
        old, new = random.integers(1, 120, 2), random.integers(1, 120, 2)
        cases.append(((int(old[0]), int(old[1])), (int(new[0]), int(new[1]))))
    cases += [(old, fitted_size(*old, 1024)) for old in [(1, 3000), (3000, 1), (7, 9), (900, 601), (1024, 3)]]
    assert {rows_first(*case) for case in cases} == {True, False}
    for old, new in cases:
        image = picture(random, old)
        np.testing.assert_array_equal(taps_resize(image, *new), pillow_resize(image, new), str((old, new)))


def test_weights_sum_to_one() -> None:
    for size, new_size in [(1, 7), (9, 4), (3000, 1024), (5, 5)]:
        first, *weights = taps(size, new_size)
        assert np.abs(np.sum(weights, axis=0) / 2**22 - 1).max() < 1e-6
        assert first.min() >= 0
        assert first.max() < size


@pytest.mark.parametrize("size", [(1, 3000), (7, 9), (90, 40), (40, 90), (32, 32), (70, 69), (32, 5)])
def test_kernels_give_what_the_project_gives_on_the_host(size: Size) -> None:
    side = 32
    image = picture(np.random.default_rng(2), size)
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (PIXEL_MEAN, PIXEL_STD))
    out = torch.full((3, side, side), torch.nan)
    device_input(torch.from_numpy(image), side, mean, std, out)

    small = torch.from_numpy(ResizeLongestSide(side).apply_image(image)).permute(2, 0, 1)
    expected = torch.zeros(3, side, side)
    expected[:, : small.shape[1], : small.shape[2]] = (small - mean) / std
    assert torch.equal(out, expected)


def test_a_crop_that_lies_in_a_larger_image() -> None:
    image = torch.from_numpy(picture(np.random.default_rng(3), (60, 70)))
    mean, std = torch.tensor(PIXEL_MEAN), torch.tensor(PIXEL_STD)
    crop, whole = torch.empty(2, 3, 32, 32)
    device_input(image[11:50, 3:66], 32, mean, std, crop)
    device_input(image[11:50, 3:66].clone(), 32, mean, std, whole)
    assert torch.equal(crop, whole)


def test_another_pillow_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_exact()

    def other_order(old: Size, new: Size) -> bool:
        return not rows_first(old, new)

    monkeypatch.setattr("sam_core.model.triton.pillow_taps.rows_first", other_order)
    assert not device_resize.is_exact.__wrapped__()
