"""Masks in a wrong form raise an error that says how to get the right form."""

from typing import Any

import numpy as np
import pytest

from sam_core.generator import SamAutomaticMaskGenerator
from sam_core.label_map import label_map


class Columns:
    """The parts of segment-anything's MaskData that are needed here."""

    def __init__(self, **columns: Any) -> None:
        self.columns = columns

    def __getitem__(self, name: str) -> Any:
        return self.columns[name]

    def filter(self, keep: Any) -> None:
        self.columns = {name: [column[i] for i in keep] for name, column in self.columns.items()}


@pytest.mark.parametrize("masks", [None, [{"segmentation": np.zeros((4, 4), bool)}], np.zeros((4, 4))])
def test_a_label_map_is_made_of_what_generate_masks_gives(masks: Any) -> None:
    with pytest.raises(ValueError, match="generate_masks, got"):
        label_map(masks)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (None, "got NoneType without rles"),
        ({}, "got dict without rles"),
        ({"rles": [], "boxes": []}, "got dict"),
        (Columns(), "got Columns without rles"),
        (Columns(rles=[{"size": [1, 1], "counts": [1]}]), "got Columns without boxes"),
    ],
)
def test_small_regions_are_cleaned_in_mask_data(data: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        SamAutomaticMaskGenerator.postprocess_small_regions(data, 1, 0.7)


def test_mask_data_without_a_mask_is_itself() -> None:
    data = Columns(rles=[])
    assert SamAutomaticMaskGenerator.postprocess_small_regions(data, 1, 0.7) is data
