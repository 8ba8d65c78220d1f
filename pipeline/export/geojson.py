"""GeoJSON of the masks of images with a place on earth: one file an image, polygons with holes.

RFC 7946 has one coordinate system, WGS84 in degrees, and outer rings against the clock. The rings run along
the edges of pixels, and each corner is turned from the image's system into it.
"""

import importlib.util
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pipeline.errors import UsageError
from pipeline.export.destination import Claim
from pipeline.export.form import ExportedImage, Part
from pipeline.export.record import Record, shortest
from pipeline.export_config import ImagesAs
from sam_core.masks.decode import decoded_masks
from sam_core.masks.outline import rings

WGS84 = "EPSG:4326"
DIGITS = 7  # a centimetre
INSTALL = "install sam-label[geo] to export masks to map coordinates"

Points = npt.NDArray[np.float64]  # x, y or longitude, latitude; [N, 2]
ToDegrees = Callable[[Points], Points]


@dataclass(frozen=True)
class GeoJson:
    """Files `<image>.geojson`, in a folder for each part of the split."""

    images_as: ClassVar[tuple[ImagesAs, ...]] = ("reference",)
    takes_image_in: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if importlib.util.find_spec("pyproj") is None:
            raise UsageError(f"--format geojson needs the package pyproj; {INSTALL}")

    def claim(self) -> Claim:
        return Claim()

    def image_path(self, record: Record, suffix: str) -> str:
        return f"{record.name}{suffix}"

    def write(self, part: Part, images: Iterable[list[ExportedImage]]) -> None:
        for batch in images:
            for image in batch:
                record = image.record
                if record.geo_transform is None or record.crs is None:
                    part.counts.lost["images without a place on earth"] += 1
                    continue
                folder = f"{record.split}/" if record.split else ""
                empty = int((record.masks.area == 0).sum())
                if empty:
                    part.counts.lost["masks without a pixel"] += empty
                part.publish_chunks(f"{folder}{record.name}.geojson", _chunks(record))

    def end(self, last: Part, kept: Mapping[int, Mapping[str, Any]]) -> None:
        """Nothing stands for all images."""


def _chunks(record: Record) -> Iterator[bytes]:
    head = {"type": "FeatureCollection", "name": record.name, "uri": record.uri}
    yield json.dumps(head)[:-1].encode() + b', "features": ['
    separator = b"\n"
    for feature in features(record):
        yield separator + json.dumps(feature, separators=(",", ":")).encode()
        separator = b",\n"
    yield b"\n]}\n"


def features(record: Record) -> Iterator[dict[str, Any]]:
    """The masks that have a pixel as GeoJSON's features, of an image with a place on earth."""
    masks, to_degrees = record.masks, degrees_of(record.crs or WGS84)
    transform = np.array(record.geo_transform)
    columns = zip(
        record.mask_numbers,
        masks.area.tolist(),
        shortest(masks.predicted_iou),
        shortest(masks.stability_score),
        masks.box_xyxy().astype(int).tolist(),
        strict=True,
    )
    for index, (number, area, predicted_iou, stability_score, (x0, y0, x1, y1)) in enumerate(columns):
        if not area:
            continue
        window = (x0, y0, x1 + 1, y1 + 1)
        mask_HW = decoded_masks([masks.counts[index]], masks.height, masks.width, window)[0]
        corner_2 = np.array([x0, y0])
        polygons = [
            [
                _ring(to_degrees(_on_the_map(ring_N2 + corner_2, transform)), is_outer=place == 0)
                for place, ring_N2 in enumerate(part)
            ]
            for part in rings(mask_HW)
        ]
        is_one = len(polygons) == 1
        yield {
            "type": "Feature",
            "id": number,
            "geometry": {
                "type": "Polygon" if is_one else "MultiPolygon",
                "coordinates": polygons[0] if is_one else polygons,
            },
            "properties": {
                "predicted_iou": predicted_iou,
                "stability_score": stability_score,
                "area": area,  # pixels
                "area_on_map": round(area * abs(float(_determinant(transform))), 6),  # in the CRS's own unit
                "crs": record.crs,
            },
        }


@cache
def degrees_of(crs: str) -> ToDegrees:
    """What turns points of a coordinate system into longitudes and latitudes.

    Raises: UsageError if there is no such system.
    """
    if crs == WGS84:
        return lambda points_N2: points_N2
    from pyproj import Transformer
    from pyproj.exceptions import CRSError

    try:
        transformer = Transformer.from_crs(crs, WGS84, always_xy=True)
    except CRSError as fault:
        raise UsageError(f"{crs} is no coordinate system that pyproj knows ({fault})") from fault
    return lambda points_N2: np.stack(transformer.transform(points_N2[:, 0], points_N2[:, 1]), axis=1)


def _on_the_map(points_N2: npt.NDArray[np.int64], transform: Points) -> Points:
    """Columns and rows of pixels' corners as x and y of the image's coordinate system."""
    return np.stack(
        [
            transform[0] + points_N2 @ transform[1:3],
            transform[3] + points_N2 @ transform[4:6],
        ],
        axis=1,
    )


def _determinant(transform: Points) -> float:
    return float(transform[1] * transform[5] - transform[2] * transform[4])


def _ring(points_N2: Points, is_outer: bool) -> list[list[float]]:
    """A closed ring: an outer one against the clock, a hole's with it."""
    x, y = (points_N2 - points_N2[0]).T
    is_against_the_clock = float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) > 0
    turned = points_N2 if is_against_the_clock == is_outer else points_N2[::-1]
    rounded: list[list[float]] = np.round(turned, DIGITS).tolist()
    return [*rounded, rounded[0]]
