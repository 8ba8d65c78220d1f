"""Which masks of an image training uses."""

import math
from typing import Any

import numpy as np
import pytest

from pipeline.errors import UsageError
from pipeline.reading.dataset import Dataset
from pipeline.reading.sampling import MaskSampling

NUMBERS = ("min_iou", "min_stability", "min_area", "max_area")


def test_limits_leave_out_the_masks_that_do_not_meet_them(demo: str) -> None:
    for record in Dataset.open(demo):
        share = record.area / (record.height * record.width)
        is_wanted = (record.predicted_iou >= np.float32(0.95)) & (share >= 0.001) & (share <= 0.2)
        is_wanted &= record.stability_score >= np.float32(0.96)
        sampling = MaskSampling(min_iou=0.95, min_stability=0.96, min_area=0.001, max_area=0.2)
        sampled = sampling.sampled(record, 0, 0)
        assert 0 < len(sampled) < len(record) or not is_wanted.any() or is_wanted.all()
        assert np.array_equal(sampled.area, record.area[is_wanted])


def test_of_too_many_masks_some_are_taken_by_chance_anew_each_epoch(demo: str) -> None:
    record = max(Dataset.open(demo), key=len)
    sampling = MaskSampling(max_masks=5)
    chosen = [tuple(sampling.sampled(record, 3, epoch).counts) for epoch in range(200)]
    assert {len(one) for one in chosen} == {5}
    assert len(set(chosen)) == 200
    assert tuple(sampling.sampled(record, 3, 7).counts) == chosen[7]
    assert {counts for one in chosen for counts in one} == set(record.counts)
    assert MaskSampling(max_masks=1000).sampled(record, 0, 0).counts == record.counts


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"min_iou": math.nan}, "min_iou is nan; give a number"),
        ({"min_stability": math.nan}, "min_stability is nan; give a number"),
        ({"max_masks": 0}, "max_masks is 0; give a whole number, 1 or more"),
        *(({name: "0.5"}, f"{name} is '0.5'; give a number") for name in NUMBERS),
        *(({name: []}, rf"{name} is \[\]; give a number") for name in NUMBERS),
        ({"min_area": None}, "min_area is None; give a number"),
        ({"max_masks": 1.5}, "max_masks is 1.5; give a whole number"),
        ({"max_masks": "a"}, "max_masks is 'a'; give a whole number"),
        ({"min_area": 0.5, "max_area": 0.1}, "min_area is 0.5 and max_area is 0.1"),
        ({"max_area": 2.0}, "give shares of the image with 0 <= min_area <= max_area <= 1"),
    ],
)
def test_limits_that_cannot_be_are_refused(asked: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        MaskSampling(**asked)
