"""The options of an export, each stated once, as in pipeline/config.py."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sam_core.options import LARGEST

ExportFormat = Literal["coco", "sa1b", "yolo", "png", "webdataset", "lance", "geojson", "geopackage"]
# Forms that are one file, by the ending of its name.
FILE_FORMATS: dict[str, ExportFormat] = {".json": "coco", ".gpkg": "geopackage"}
# Forms for images with a place on earth; they only refer to the images.
ON_EARTH: tuple[ExportFormat, ...] = ("geojson", "geopackage")
ImagesAs = Literal["copy", "link", "reference"]
SPLIT_NAMES = ("train", "val", "test")


class ExportConfig(BaseModel):
    """Which masks of a dataset to export, in which tool's form, and what to do with the images."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: str = Field(min_length=1, description="Dataset to export, written by a run: a folder or a URL.")
    dest: str = Field(
        min_length=1,
        description="New folder or URL to write to, or a new file: .json for COCO, .gpkg for a GeoPackage.",
    )
    format: ExportFormat = Field(default="coco", description="Format to write.")
    images: ImagesAs | None = Field(
        default=None,
        description="Copy the images, link to them on a disk, or refer to them. Without it: what the format "
        "needs.",
    )
    where: str | None = Field(
        default=None,
        max_length=1000,
        description="Export only masks for which this holds: 'predicted_iou > 0.9 and area_share < 0.5'.",
    )
    split: str | None = Field(
        default=None,
        description="Shares of train, val and test, drawn by image id: '0.9,0.1' or '0.8,0.1,0.1'.",
    )
    seed: int = Field(default=0, ge=0, le=LARGEST, description="Seed of the split.")

    @field_validator("split")
    @classmethod
    def _is_shares_of_one(cls, text: str | None) -> str | None:
        if text is not None:
            shares = _shares(text)
            # each comparison is false for nan
            is_whole = abs(sum(shares) - 1) <= 1e-6 and min(shares) > 0
            if not (2 <= len(shares) <= len(SPLIT_NAMES) and is_whole):
                raise ValueError(
                    f"{text!r} is not two or three shares above 0 that add up to 1, such as '0.9,0.1'"
                )
        return text

    @property
    def shares(self) -> dict[str, float]:
        """The share of the images that each part of the split gets; empty if there is no split."""
        return dict(zip(SPLIT_NAMES, _shares(self.split), strict=False)) if self.split else {}


def _shares(text: str) -> list[float]:
    try:
        return [float(share) for share in text.split(",")]
    except ValueError:
        raise ValueError(f"{text!r} contains something that is not a number") from None
