"""MaskOptions: SA's names and defaults, and the values that are errors."""

from math import inf, nan

import pytest
from pydantic import ValidationError

from sam_core.options import LARGEST, MaskOptions

# SamAutomaticMaskGenerator of segment-anything 1.0
DEFAULTS_OF_SA = {
    "points_per_side": 32,
    "points_per_batch": 64,
    "pred_iou_thresh": 0.88,
    "stability_score_thresh": 0.95,
    "stability_score_offset": 1.0,
    "box_nms_thresh": 0.7,
    "crop_n_layers": 0,
    "crop_nms_thresh": 0.7,
    "crop_overlap_ratio": 512 / 1500,
    "crop_n_points_downscale_factor": 1,
    "min_mask_region_area": 0,
}
OFF = {
    "max_mask_area": 1.0,
    "nms_overlap": "box",
    "tile_size": 0,
    "precision": "float32",
    "reference": False,
    "mask_embeddings": False,
}

TOO_LARGE = LARGEST + 1
# Earlier releases labelled with these.
REFUSED_BY_NOW: list[dict[str, float]] = [
    {"pred_iou_thresh": inf},
    {"stability_score_offset": inf},
    {"points_per_batch": TOO_LARGE},
    {"crop_n_points_downscale_factor": TOO_LARGE},
    {"min_mask_region_area": TOO_LARGE},
    {"tile_size": TOO_LARGE},
    {"tile_size": 32},
]


def test_defaults_are_those_of_sa_and_what_it_lacks_is_off() -> None:
    assert MaskOptions().model_dump() == DEFAULTS_OF_SA | OFF


def test_every_option_has_help() -> None:
    assert all(field.description for field in MaskOptions.model_fields.values())


@pytest.mark.parametrize(
    "wrong",
    [
        {"point_per_side": 32},
        {"points_per_side": 0},
        {"crop_overlap_ratio": 1.0},
        {"crop_overlap_ratio": "wide"},
        {"stability_score_thresh": 95},
        {"nms_overlap": "pixels"},
        {"max_mask_area": 0},
        {"tile_size": 1},  # a typo that would make a million tiles
        {"tile_size": 512, "crop_n_layers": 1},
        {"tile_size": 64, "crop_overlap_ratio": 0.99},  # 15 million tiles of a photo
        *REFUSED_BY_NOW,
    ],
)
def test_wrong_options_are_refused(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        MaskOptions(**wrong)


@pytest.mark.parametrize("options", REFUSED_BY_NOW)
def test_a_record_keeps_values_that_are_refused_by_now(options: dict[str, float]) -> None:
    made_with = MaskOptions.of_record(options).model_dump()
    assert made_with == DEFAULTS_OF_SA | OFF | options


@pytest.mark.parametrize("number", [inf, nan, 1e300])
def test_a_number_that_is_too_large_is_refused_in_one_sentence(number: float) -> None:
    with pytest.raises(ValueError, match=r"^stability_score_offset is .*: it should be ") as refused:
        MaskOptions.checked({"stability_score_offset": number})
    assert str(refused.value).count("\n") == 0


def test_a_record_keeps_options_that_exclude_each_other_by_now_but_no_nonsense() -> None:
    made_with = MaskOptions.of_record({"tile_size": 32, "crop_n_layers": 1, "compile_decoder": True})
    assert (made_with.tile_size, made_with.crop_n_layers) == (32, 1)
    for wrong in ({"tile_size": -1}, {"tile_sizes": 64}):
        with pytest.raises(ValidationError):
            MaskOptions.of_record(wrong)


def test_what_crops_share_is_a_fraction() -> None:
    """SA's command line parses it as an int, so only 0 can be given."""
    assert MaskOptions(crop_overlap_ratio="0.25").crop_overlap_ratio == 0.25
