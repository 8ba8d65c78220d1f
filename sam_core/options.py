"""The options of mask generation, each defined once: name, type, range, default and help.

Names and defaults are SA's. The job file, the command line and the documentation all read them from here.
Options that SA lacks come last and are off by default.
"""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

# All whole numbers up to this one are exact in C, and in every reader of JSON.
LARGEST = 1 << 53
# Pixels. A smaller tile would be magnified more than 16 times, and an image would have thousands of them.
LEAST_TILE = 64
# Fraction of a tile's side that its neighbour shares. Each pixel is labelled 16 times; at 0.99, 10,000 times.
MOST_SHARED_BY_TILES = 0.75
# The validation context for recorded options: rules that are newer than the dataset do not apply.
_RECORDED = {"is_recorded": True}
# Removed options that old datasets still name. None of them affected a mask.
_NO_LONGER_KNOWN = {"compile_decoder"}


class MaskOptions(BaseModel):
    """The options that decide an image's masks. Two runs with equal options and weights give the same masks.

    Source: SamAutomaticMaskGenerator of segment-anything, commit dca509f.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    points_per_side: int = Field(
        32, ge=1, le=1024, description="Prompt points along each side of the grid; 32 gives 1024 prompts."
    )
    points_per_batch: int = Field(
        64, ge=1, description="Prompts decoded at a time. Changes memory and speed, never the masks."
    )
    pred_iou_thresh: float = Field(
        0.88,
        ge=0,
        description="Keep masks whose predicted quality (IoU) is above this. 0 keeps all.",
    )
    stability_score_thresh: float = Field(
        0.95, ge=0, le=1, description="Keep masks whose stability score is at least this. 0 keeps all."
    )
    stability_score_offset: float = Field(
        1.0, ge=0, description="How far the logit threshold moves up and down for the stability score."
    )
    box_nms_thresh: float = Field(
        0.7,
        ge=0,
        le=1,
        description="Drop the worse of two masks of one crop if the IoU of their boxes is above this.",
    )
    crop_n_layers: int = Field(
        0, ge=0, le=6, description="Layers of crops to label besides the whole image; layer i has 4**i crops."
    )
    crop_nms_thresh: float = Field(
        0.7, ge=0, le=1, description="Same as --box-nms-thresh, but between masks of different crops."
    )
    crop_overlap_ratio: float = Field(
        512 / 1500,
        ge=0,
        lt=1,
        description="Overlap of first-layer crops, or of tiles (at most 0.75 there), as a share of the "
        "shorter side.",
    )
    crop_n_points_downscale_factor: int = Field(
        1, ge=1, description="The grid of crop layer i has points_per_side / factor**i points a side."
    )
    min_mask_region_area: int = Field(
        0,
        ge=0,
        description="Fill holes and remove islands of masks that have fewer pixels. 0 changes nothing.",
    )
    max_mask_area: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Drop masks that cover more than this share of the image, such as backgrounds.",
    )
    nms_overlap: Literal["box", "mask"] = Field(
        "box", description="What NMS computes the IoU of: boxes, as SA does, or the masks themselves."
    )
    tile_size: int = Field(
        0,
        ge=0,
        description="Label square tiles of this side (at least 64) in place of the whole image. 0 is off.",
    )
    precision: Literal["float32", "float16", "bfloat16"] = Field(
        "float32",
        description="Number type of products in the encoder and the upscaling. 16 bits are for GPUs, and "
        "lossy.",
    )
    reference: bool = Field(
        False,
        description="Do as SA does where sam-label decides otherwise (infra/adr/0004): crops, small regions.",
    )
    mask_embeddings: bool = Field(
        False,
        description="Store a vector for each mask and one for the image: the encoder's features, averaged.",
    )

    @classmethod
    def checked(cls, values: Mapping[str, Any]) -> Self:
        """The options with these values. Raises: ValueError, in one sentence, for an unknown or wrong one."""
        try:
            return cls(**values)
        except ValidationError as refused:
            raise ValueError(_sentence(refused.errors()[0], cls.model_fields)) from None

    @classmethod
    def of_record(cls, recorded: Mapping[str, Any]) -> Self:
        """The options that a dataset was made with, including values that are refused today.

        Raises: ValueError for a name that never was an option.
        """
        known = {name: value for name, value in recorded.items() if name not in _NO_LONGER_KNOWN}
        return cls.model_validate(known, context=_RECORDED)

    @field_validator("*")
    @classmethod
    def _is_not_too_large(cls, value: Any, info: ValidationInfo) -> Any:
        is_number = isinstance(value, int | float)
        if is_number and not value <= LARGEST and info.context != _RECORDED:
            raise ValueError(f"it should be at most {LARGEST}")
        return value

    @field_validator("tile_size")
    @classmethod
    def _tiles_have_a_size(cls, tile_size: int, info: ValidationInfo) -> int:
        if 0 < tile_size < LEAST_TILE and info.context != _RECORDED:
            raise ValueError(f"a tile must have at least {LEAST_TILE} pixels per side; 0 turns tiles off")
        return tile_size

    @model_validator(mode="after")
    def _tiles_go_with_the_rest(self, info: ValidationInfo) -> Self:
        if not self.tile_size or info.context == _RECORDED:
            return self
        if self.crop_n_layers:
            raise ValueError("--tile-size and --crop-n-layers exclude each other: a tile is a crop")
        if self.crop_overlap_ratio > MOST_SHARED_BY_TILES:
            raise ValueError(f"with --tile-size, --crop-overlap-ratio must be at most {MOST_SHARED_BY_TILES}")
        return self


def _sentence(error: ErrorDetails, known: Iterable[str]) -> str:
    """What is wrong with which option, in Python's spelling of option names."""
    name = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        near = get_close_matches(name, known, n=1)
        return f"{name} is not an option of mask generation" + (f"; did you mean {near[0]}?" if near else "")
    message = error["msg"].removeprefix("Value error, ").replace("Input should be", "it should be")
    message = re.sub(r"--([a-z-]+)", lambda option: option[1].replace("-", "_"), message)
    return f"{name} is {error['input']!r}: {message}" if name else message
