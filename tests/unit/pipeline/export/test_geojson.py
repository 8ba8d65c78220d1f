"""Masks in map coordinates: Pillow draws the file's polygons, and every pixel is where it was."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from jobs.cli import main
from pipeline.export.counts import Counts
from pipeline.export.geojson import degrees_of, features
from pipeline.export.record import Record
from sam_core.masks.image_masks import ImageMasks
from sam_core.masks.rle import compressed_counts, runs_of_mask

UTM_33 = (500_000.0, 10.0, 0.0, 4_600_000.0, 0.0, -10.0)
DEGREES = (12.0, 0.001, 0.0, 45.0, 0.0, -0.002)


def record_of(masks_NHW: np.ndarray, transform: tuple[float, ...], crs: str) -> Record:
    count, height, width = masks_NHW.shape
    boxes = []
    for mask_HW in masks_NHW:
        y, x = np.nonzero(mask_HW)
        boxes.append((x.min(), y.min(), np.ptp(x), np.ptp(y)) if len(x) else (0, 0, 0, 0))
    masks = ImageMasks(
        height,
        width,
        [compressed_counts(runs_of_mask(mask_HW)) for mask_HW in masks_NHW],
        masks_NHW.sum((1, 2)),
        np.array(boxes, np.float32),
        np.full(count, 0.9, np.float32),
        np.full(count, 0.8, np.float32),
        np.zeros((count, 2), np.float32),
        np.zeros((count, 4), np.float32),
    )
    return Record(
        1,
        "a.tif",
        "a.tif",
        "",
        "file:///a.tif",
        "",
        1,
        masks,
        np.arange(count),
        4,
        "",
        geo_transform=transform,
        crs=crs,
    )


def drawn(geometry: dict[str, Any], height: int, width: int) -> np.ndarray:
    """The pixels whose centre lies inside a geometry in DEGREES; Pillow draws each pixel as 8 x 8."""
    polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    inside_HW = np.zeros((8 * height, 8 * width), bool)
    for polygon in polygons:
        for ring in polygon:
            canvas = Image.new("1", (8 * width, 8 * height))
            points = [((x - 12) / 0.001 * 8, (45 - y) / 0.002 * 8) for x, y in ring]
            ImageDraw.Draw(canvas).polygon([(round(x), round(y)) for x, y in points], fill=1)
            inside_HW ^= np.asarray(canvas)
    return inside_HW[4::8, 4::8]


def signed_area(ring: list[list[float]]) -> float:
    x, y = np.array(ring).T
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))


def test_rings_enclose_the_masks_pixels_with_holes_and_parts() -> None:
    rng = np.random.default_rng(2)
    masks_NHW = np.zeros((4, 30, 40), bool)
    masks_NHW[0, 3:20, 5:30] = True
    masks_NHW[0, 8:12, 9:15] = False  # a hole, with an island
    masks_NHW[0, 9:11, 11:13] = True
    masks_NHW[1] = np.kron(rng.random((15, 20)) < 0.6, np.ones((2, 2))) > 0
    masks_NHW[3, 29, 39] = True
    found = list(features(record_of(masks_NHW, DEGREES, "EPSG:4326"), Counts()))
    assert [feature["id"] for feature in found] == [5, 6, 8], "a mask without a pixel has no feature"
    for feature, mask_HW in zip(found, masks_NHW[[0, 1, 3]], strict=True):
        np.testing.assert_array_equal(drawn(feature["geometry"], 30, 40), mask_HW)
        assert feature["properties"]["area"] == mask_HW.sum()
    outer, hole = found[0]["geometry"]["coordinates"][0]
    assert (signed_area(outer) > 0, signed_area(hole) < 0) == (True, True), "RFC 7946, section 3.1.6"
    assert outer[0] == outer[-1]
    assert found[0]["properties"]["predicted_iou"] == 0.9


def test_map_coordinates_become_degrees() -> None:
    (feature,) = features(record_of(np.ones((1, 3, 2), bool), UTM_33, "EPSG:32633"), Counts())
    corners = {tuple(point) for point in feature["geometry"]["coordinates"][0]}
    # UTM's central meridian is x = 500,000: 15 degrees east; 4,600,000 m north is 41.5529 degrees.
    west_north = min(corners, key=lambda point: (point[0], -point[1]))
    assert west_north == pytest.approx((15.0, 41.5510), abs=2e-3)
    assert len(corners) == 4
    assert feature["properties"]["area_on_map"] == 600
    back = degrees_of("EPSG:3857")(np.array([[111_319.490793, 0.0]]))
    np.testing.assert_allclose(back, [[1.0, 0.0]], atol=1e-6)


@pytest.mark.parametrize(("form", "dest"), [("geojson", "map"), ("geopackage", "map.gpkg")])
def test_images_without_a_place_are_an_error_that_leaves_nothing(
    labelled: Any, form: str, dest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["export", str(labelled.output), str(labelled.folder / dest), "--format", form])
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert "no image to export has a transform and an EPSG code, as GeoTIFFs have" in err
    assert "next:" not in err
    assert [path for path in labelled.folder.rglob("*") if path.name != dest] == []


def test_a_file_is_a_feature_collection(tmp_path: Path) -> None:
    from pipeline.export.form import ExportedImage, Part
    from pipeline.export.geojson import GeoJson
    from pipeline.store.storage import Store

    record = replace(record_of(np.ones((2, 3, 2), bool), UTM_33, "EPSG:32633"), split="val")
    part = Part(0, Store.at(str(tmp_path)))
    GeoJson().write(part, [[ExportedImage(record)]])
    read = json.loads((tmp_path / "val" / "a.tif.geojson").read_text())
    assert (read["type"], len(read["features"])) == ("FeatureCollection", 2)
    assert part.counts.files == 1


@pytest.mark.filterwarnings("error")
def test_masks_that_lie_nowhere_on_earth_are_counted() -> None:
    """UTM ends far before a billion metres: pyproj makes that infinity, which JSON does not have."""
    masks_NHW = np.zeros((2, 3, 9), bool)
    masks_NHW[0, :, :4] = masks_NHW[1, :, 6:] = True
    transform = (500_000.0, 1e8, 0.0, 4_600_000.0, 0.0, -10.0)
    counts = Counts()
    found = list(features(record_of(masks_NHW[:, :, :1], UTM_33, "EPSG:32633"), counts))
    assert (len(found), counts.lost) == (1, {})
    assert list(features(record_of(masks_NHW, transform, "EPSG:32633"), counts)) == []
    assert counts.lost == {"masks without a place in degrees": 2}
