"""MaskOptions: SA's names and defaults, and the values that are errors."""

import pytest
from pydantic import ValidationError

from sam_core.options import MaskOptions

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
    ],
)
def test_wrong_options_are_refused(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        MaskOptions(**wrong)


def test_a_record_keeps_options_that_are_refused_by_now_but_no_nonsense() -> None:
    made_with = MaskOptions.of_record({"tile_size": 32, "crop_n_layers": 1, "compile_decoder": True})
    assert (made_with.tile_size, made_with.crop_n_layers) == (32, 1)
    for wrong in ({"tile_size": -1}, {"tile_sizes": 64}):
        with pytest.raises(ValidationError):
            MaskOptions.of_record(wrong)


def test_what_crops_share_is_a_fraction() -> None:
    """SA's command line parses it as an int, so only 0 can be given."""
    assert MaskOptions(crop_overlap_ratio="0.25").crop_overlap_ratio == 0.25
