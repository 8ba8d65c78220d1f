"""Masks in few bytes: unpacked, they are the reduced masks, and they stay within their size limit."""

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reading.dataset import Dataset
from pipeline.report.packed_masks import NUMBERS_BYTES, SIDES, fitting, packed_masks, varints


def unpacked(data: bytes) -> list[int]:
    """Unpacks them in the slow and simple way."""
    values, value, shift = [], 0, 0
    for byte in data:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            values.append(value)
            value = shift = 0
    return values


@given(st.lists(st.integers(0, 2**28 - 1)))
def test_varints_come_back(values: list[int]) -> None:
    assert unpacked(varints(np.array(values, np.uint32))) == values


def test_numbers_are_exact_and_pixels_those_of_the_reduced_masks(labelled) -> None:
    _, masks = labelled()
    for record in Dataset.open(str(masks)):
        if not record.is_ok:
            continue
        packed = packed_masks(record, 100_000)
        told = packed.as_json()
        assert (told["masks"], told["drawn"], told["left_out"]) == (len(record), len(record), 0)
        for name, column in (("iou", record.predicted_iou), ("stability", record.stability_score)):
            assert np.array_equal(np.frombuffer(base64.b64decode(told[name]), "<f4"), column)
        assert np.array_equal(np.frombuffer(base64.b64decode(told["area"]), "<u4"), record.area)
        width, height = told["grid"]
        assert (height, width) == (record.height, record.width), "small images keep their size"
        runs = np.array(unpacked(base64.b64decode(told["runs"])))
        assert runs.sum() == len(record) * height * width
        edges, ends = np.cumsum(runs), (np.arange(len(record)) + 1) * height * width
        for mask, part in enumerate(np.split(runs, np.searchsorted(edges, ends) + 1)[:-1]):
            pixels = np.repeat(np.arange(len(part)) % 2 == 1, part).reshape(height, width)
            assert np.array_equal(pixels, record.mask(mask))


@pytest.mark.parametrize("most_bytes", [60_000, 8_000, 3_000, 1_000, 300])
def test_masks_keep_within_their_room(demo: str, most_bytes: int) -> None:
    record = max(Dataset.open(demo), key=len)
    packed = packed_masks(fitting(record, most_bytes), most_bytes)
    assert packed.text_bytes <= most_bytes
    assert packed.masks + packed.left_out == len(record) == 66
    assert packed.left_out == 0 or most_bytes < 3 * NUMBERS_BYTES * 66
    if most_bytes >= 8_000:
        assert packed.drawn == 66
        assert max(packed.grid_height, packed.grid_width) in SIDES


def test_a_mask_too_small_for_the_grid_is_still_a_cell(demo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.report.packed_masks.SIDES", (16,))
    record = max(Dataset.open(demo), key=len)
    packed = packed_masks(record, 100_000)
    assert not record.masks((packed.grid_height, packed.grid_width)).any(axis=(1, 2)).all()
    runs = np.array(unpacked(packed.runs))
    starts = np.flatnonzero(np.cumsum(runs) % (packed.grid_height * packed.grid_width) == 0)
    assert runs.sum() == 66 * packed.grid_height * packed.grid_width
    assert len(starts) >= 66
    assert packed.drawn == 66
