"""GeoJSON of the masks of images with a place on earth: one file an image, polygons with holes.

RFC 7946 has one coordinate system, WGS84 in degrees, and counterclockwise outer rings. The rings run along
the edges of pixels, and each corner is converted from the image's system.
"""

import importlib.util
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np

from pipeline.errors import UsageError
from pipeline.export.counts import Counts
from pipeline.export.form import ExportedImage, Form, Part
from pipeline.export.map_shapes import INSTALL, Projection, map_shapes, records_of
from pipeline.export.record import Record
from pipeline.export_config import ImagesAs

WGS84 = "EPSG:4326"
DIGITS = 7  # a centimetre


@dataclass(frozen=True)
class GeoJson(Form):
    """Files `<image>.geojson`, in a folder for each part of the split."""

    images_as: ClassVar[tuple[ImagesAs, ...]] = ("reference",)

    def __post_init__(self) -> None:
        if importlib.util.find_spec("pyproj") is None:
            raise UsageError(f"--format geojson needs the package pyproj: {INSTALL}")

    def write(self, part: Part, images: Iterable[list[ExportedImage]]) -> None:
        for record in records_of(part, images):
            folder = f"{record.split}/" if record.split else ""
            part.publish_chunks(f"{folder}{record.name}.geojson", _chunks(record, part.counts))


def _chunks(record: Record, counts: Counts) -> Iterator[bytes]:
    head = {"type": "FeatureCollection", "name": record.name, "uri": record.uri}
    yield json.dumps(head)[:-1].encode() + b', "features": ['
    separator = b"\n"
    for feature in features(record, counts):
        yield separator + json.dumps(feature, separators=(",", ":")).encode()
        separator = b",\n"
    yield b"\n]}\n"


def features(record: Record, counts: Counts) -> Iterator[dict[str, Any]]:
    """GeoJSON's features of an image with a place on earth: its masks that have a pixel.

    Masks outside of the area of their coordinate system have no degrees, and are counted as lost.
    """
    for shape in map_shapes(record, degrees_of(record.crs or WGS84)):
        if not shape.parts:
            counts.lost["masks without a place in degrees"] += 1
            continue
        polygons = [[np.round(ring_N2, DIGITS).tolist() for ring_N2 in part] for part in shape.parts]
        is_one = len(polygons) == 1
        yield {
            "type": "Feature",
            "id": shape.number,
            "geometry": {
                "type": "Polygon" if is_one else "MultiPolygon",
                "coordinates": polygons[0] if is_one else polygons,
            },
            "properties": {
                "predicted_iou": shape.predicted_iou,
                "stability_score": shape.stability_score,
                "area": shape.area,
                "area_on_map": shape.area_on_map,
                "crs": record.crs,
            },
        }


@cache
def degrees_of(crs: str) -> Projection:
    """A function that converts points of a coordinate system to longitudes and latitudes.

    Raises: UsageError if there is no such system.
    """
    if crs == WGS84:
        return lambda points_N2: points_N2
    from pyproj import Transformer
    from pyproj.exceptions import CRSError

    try:
        transformer = Transformer.from_crs(crs, WGS84, always_xy=True)
    except CRSError as fault:
        raise UsageError(f"pyproj does not know the coordinate system {crs} ({fault})") from fault
    return lambda points_N2: np.stack(transformer.transform(points_N2[:, 0], points_N2[:, 1]), axis=1)
