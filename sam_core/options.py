"""The options of mask generation, each stated once: name, type, range, default and help.

The names and defaults are SA's; the job file, the command line and the documentation are all read from here.
What SA lacks stands at the end and is off by default.
"""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

LEAST_TILE = 64  # pixels; smaller ones are magnified 16 times and more, and make thousands of an image
MOST_TILE_OVERLAP = 0.75  # every pixel is labelled 16 times; at 0.99 10,000 times
_RECORDED = {"is_recorded": True}  # the context in which rules that came later are not asked


class MaskOptions(BaseModel):
    """What decides which masks an image gets. Two runs with equal options and weights give the same masks.

    Source: SamAutomaticMaskGenerator of segment-anything, commit dca509f.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    points_per_side: int = Field(
        32, ge=1, le=1024, description="Points along one side of the grid of prompts; 32 gives 1024 prompts."
    )
    points_per_batch: int = Field(
        64, ge=1, description="Prompts decoded at a time. Changes memory and speed, never the masks."
    )
    pred_iou_thresh: float = Field(
        0.88,
        ge=0,
        description="Keep masks whose quality, predicted by the model, is above this. 0 keeps all.",
    )
    stability_score_thresh: float = Field(
        0.95, ge=0, le=1, description="Keep masks whose stability score is at least this. 0 keeps all."
    )
    stability_score_offset: float = Field(
        1.0, ge=0, description="Shift of the logit threshold, up and down, that the stability score compares."
    )
    box_nms_thresh: float = Field(
        0.7,
        ge=0,
        le=1,
        description="Of two masks of one crop whose boxes overlap by more IoU, one is dropped.",
    )
    crop_n_layers: int = Field(
        0, ge=0, le=6, description="Layers of crops labelled after the whole image; layer i has 4**i crops."
    )
    crop_nms_thresh: float = Field(
        0.7, ge=0, le=1, description="As --box-nms-thresh, between masks of different crops."
    )
    crop_overlap_ratio: float = Field(
        512 / 1500,
        ge=0,
        lt=1,
        description="Overlap of first-layer crops, a fraction of the shorter side; of tiles, 0.75 at most.",
    )
    crop_n_points_downscale_factor: int = Field(
        1, ge=1, description="The grid of crop layer i has points_per_side / factor**i points a side."
    )
    min_mask_region_area: int = Field(
        0,
        ge=0,
        description="Fill holes and remove islands of a mask that have fewer pixels. 0 changes nothing.",
    )
    max_mask_area: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Drop masks that cover more than this fraction of the image (background).",
    )
    nms_overlap: Literal["box", "mask"] = Field(
        "box", description="What NMS measures overlap on: boxes, as SA does, or the masks themselves."
    )
    tile_size: int = Field(
        0,
        ge=0,
        description="Label square tiles of this side (at least 64) in place of the whole image. 0 is off.",
    )
    compile_decoder: bool = Field(
        False,
        description="Compile the decoder at a GPU's first image. Changes speed, and masks by rounding alone.",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="What the encoder and the upscaling multiply in. bfloat16 is for GPUs, and lossy.",
    )
    reference: bool = Field(
        False,
        description="Do as SA does where sam-label decides otherwise (infra/adr/0004): crops, small regions.",
    )

    @classmethod
    def of_record(cls, said: Mapping[str, Any]) -> Self:
        """The options that a dataset was made with, also those that are refused by now.

        Raises: ValueError for what never were options.
        """
        return cls.model_validate(said, context=_RECORDED)

    @field_validator("tile_size")
    @classmethod
    def _tiles_have_a_size(cls, tile_size: int, info: ValidationInfo) -> int:
        if 0 < tile_size < LEAST_TILE and info.context != _RECORDED:
            raise ValueError(f"a tile has at least {LEAST_TILE} pixels a side; 0 is off")
        return tile_size

    @model_validator(mode="after")
    def _tiles_go_with_the_rest(self, info: ValidationInfo) -> Self:
        if not self.tile_size or info.context == _RECORDED:
            return self
        if self.crop_n_layers:
            raise ValueError("--tile-size and --crop-n-layers exclude each other: a tile is a crop")
        if self.crop_overlap_ratio > MOST_TILE_OVERLAP:
            raise ValueError(f"with --tile-size --crop-overlap-ratio is at most {MOST_TILE_OVERLAP}")
        return self
