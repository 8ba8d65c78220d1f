"""Masks as polygons on a map: rings along the edges of pixels, each corner in map coordinates."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.export.form import ExportedImage, Part
from pipeline.export.record import Record, shortest
from sam_core.masks.decode import decoded_masks
from sam_core.masks.outline import rings

Points = npt.NDArray[np.float64]  # x, y or longitude, latitude; [N, 2]
Projection = Callable[[Points], Points]
INSTALL = "pip install 'sam-label[geo]'"


@dataclass(frozen=True)
class MapShape:
    """A mask that has a pixel.

    Each part is an outer ring, counterclockwise, and the rings of its holes, clockwise. There are no parts if
    a corner lies where the projection is not defined.
    """

    number: int  # 1 for the dataset's first mask
    area: int  # pixels
    area_on_map: float  # in square units of the image's own coordinate system
    predicted_iou: float
    stability_score: float
    box_xyxy: tuple[int, int, int, int]  # pixels, the last ones included
    parts: list[list[Points]]  # rings; the last point repeats the first


def records_of(part: Part, images: Iterable[list[ExportedImage]]) -> Iterator[Record]:
    """The records of images with a place on earth; masks without a pixel are counted as lost."""
    for batch in images:
        for image in batch:
            if empty := int((image.record.masks.area == 0).sum()):
                part.counts.lost["masks without a pixel"] += empty
            yield image.record


def map_shapes(record: Record, projection: Projection = lambda points_N2: points_N2) -> Iterator[MapShape]:
    """The masks of an image with a place on earth; `projection` converts points of its coordinate system."""
    masks, transform = record.masks, np.array(record.geo_transform)
    pixel_on_map = abs(float(transform[1] * transform[5] - transform[2] * transform[4]))
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
        corners = [
            [projection(_on_the_map(ring_N2 + corner_2, transform)) for ring_N2 in part]
            for part in rings(mask_HW)
        ]
        is_defined = all(np.isfinite(ring_N2).all() for part in corners for ring_N2 in part)
        parts = [
            [_ring(ring_N2, is_outer=place == 0) for place, ring_N2 in enumerate(part)]
            for part in (corners if is_defined else ())
        ]
        on_map = round(area * pixel_on_map, 6)
        yield MapShape(number, area, on_map, predicted_iou, stability_score, (x0, y0, x1, y1), parts)


def _on_the_map(points_N2: npt.NDArray[np.int64], transform: Points) -> Points:
    """Columns and rows of pixels' corners as x and y of the image's coordinate system."""
    return np.stack(
        [
            transform[0] + points_N2 @ transform[1:3],
            transform[3] + points_N2 @ transform[4:6],
        ],
        axis=1,
    )


def _ring(points_N2: Points, is_outer: bool) -> Points:
    """A closed ring: counterclockwise if it is an outer one, clockwise for a hole."""
    x, y = (points_N2 - points_N2[0]).T
    is_against_the_clock = float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) > 0
    turned = points_N2 if is_against_the_clock == is_outer else points_N2[::-1]
    return np.concatenate([turned, turned[:1]])
