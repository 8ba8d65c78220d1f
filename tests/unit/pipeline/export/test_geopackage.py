"""A GeoPackage, read back with GDAL and with SQLite alone, and compared with GeoJSON's polygons."""

import json
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import tifffile

from pipeline.errors import UsageError
from pipeline.export import geopackage
from pipeline.export.destination import Destination
from pipeline.export.geojson import degrees_of
from pipeline.export.record import split_of

PLACES = {
    "north.tif": (32633, 4_600_000.0),
    "south.tif": (32733, 9_000_000.0),
    "sub/north.tif": (32633, 4.7e6),
}


@pytest.fixture
def placed(labelled_anew: Callable[..., Any], tmp_path: Path) -> Any:
    """A dataset of photos; three are GeoTIFFs in two coordinate systems."""
    for number, (name, (code, top)) in enumerate(PLACES.items()):
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, code)
        tags = [
            (33550, 12, 3, (10.0, 10.0, 0.0), True),
            (33922, 12, 6, (0.0, 0.0, 0.0, 500_000.0, top, 0.0), True),
            (34735, 3, 16, keys, True),
        ]
        pixels_HW = np.random.default_rng(number).integers(0, 255, (32, 48), np.uint8)
        tifffile.imwrite(file, pixels_HW, extratags=tags)
    return labelled_anew()


def rings_of(geometry: bytes) -> list[np.ndarray]:
    """The rings of a MultiPolygon of well-known binary, read by its specification."""
    order, kind, polygons = struct.unpack_from("<BII", geometry)
    assert (order, kind) == (1, 6)
    place, rings = 9, []
    for _ in range(polygons):
        order, kind, count = struct.unpack_from("<BII", geometry, place)
        assert (order, kind) == (1, 3)
        place += 9
        for _ in range(count):
            (points,) = struct.unpack_from("<I", geometry, place)
            rings.append(np.frombuffer(geometry, "<f8", 2 * points, place + 4).reshape(points, 2))
            place += 4 + 16 * points
    assert place == len(geometry)
    return rings


def test_it_is_what_geojson_says_in_the_systems_of_the_images(placed: Any) -> None:
    result = placed.export("map.gpkg", format="geopackage")
    placed.export("map", format="geojson")
    path = placed.folder / "map.gpkg"
    assert (result.counts.files, result.counts.bytes) == (1, path.stat().st_size)
    assert result.counts.lost["images without a place on earth"] == len(placed.rows()) - len(PLACES)
    assert sorted(path.name for path in placed.folder.glob("*map.gpkg*")) == [
        ".map.gpkg.sam-label-export",
        "map.gpkg",
    ]
    layers = dict(pyogrio.list_layers(path).tolist())
    assert layers == {"masks_epsg_32633": "MultiPolygon", "masks_epsg_32733": "MultiPolygon"}
    expected = {
        feature["id"]: feature
        for name in PLACES
        for feature in json.loads((placed.folder / "map" / f"{name}.geojson").read_text())["features"]
    }
    rows = {row["image_id"]: row for row in placed.rows()}
    seen = []
    for layer in layers:
        facts, table = pyogrio.read_arrow(path, layer=layer)
        assert facts["crs"] == layer.removeprefix("masks_").replace("epsg_", "EPSG:")
        for mask in table.to_pylist():
            feature = expected[mask["mask"]]
            for key in ("area", "area_on_map", "predicted_iou", "stability_score"):
                assert mask[key] == feature["properties"][key]
            row = rows[mask["image_id"]]
            assert mask["uri"] == row["uri"]
            box = [mask[f"box_{name}"] for name in ("x", "y", "width", "height")]
            assert [*box[:2], box[2] - 1, box[3] - 1] in row["mask_bbox"]
            geometry = feature["geometry"]["coordinates"]
            parts = geometry if feature["geometry"]["type"] == "MultiPolygon" else [geometry]
            in_degrees = [ring for part in parts for ring in part]
            for ring_N2, expected_N2 in zip(rings_of(mask["geom"]), in_degrees, strict=True):
                degrees_N2 = degrees_of(feature["properties"]["crs"])(ring_N2)
                np.testing.assert_allclose(degrees_N2, expected_N2, rtol=0, atol=6e-8)
            seen.append(mask["mask"])
    assert sorted(seen) == sorted(expected)


def test_the_file_is_one_by_its_specification(placed: Any) -> None:
    placed.export("map.gpkg", format="geopackage")
    with sqlite3.connect(placed.folder / "map.gpkg") as file:
        assert file.execute("PRAGMA application_id").fetchone() == (0x47504B47,), "GPKG"
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        contents = file.execute("SELECT table_name, data_type, srs_id, min_y FROM gpkg_contents").fetchall()
        assert [row[:3] for row in contents] == [
            ("masks_epsg_32633", "features", 32633),
            ("masks_epsg_32733", "features", 32733),
        ]
        assert 8_999_000 < contents[1][3] < 9_000_000
        for name, _, srs_id, _ in contents:
            organization = (
                "SELECT organization, organization_coordsys_id FROM gpkg_spatial_ref_sys WHERE srs_id=?"
            )
            assert file.execute(organization, (srs_id,)).fetchone() == ("EPSG", srs_id)
            for (geometry,) in file.execute(f"SELECT geom FROM {name}"):  # noqa: S608  # our own name
                magic, version, flags, its_srs = struct.unpack_from("<2sBBi", geometry)
                assert (magic, version, its_srs) == (b"GP", 0, srs_id)
                assert (flags & 1, flags >> 1 & 7, flags >> 4 & 1) == (1, 1, 0), (
                    "little-endian, a box, not empty"
                )
                box = struct.unpack_from("<4d", geometry, 8)
                points_N2 = np.concatenate(rings_of(geometry[40:]))
                low, high = points_N2.min(0), points_N2.max(0)
                assert box == (low[0], high[0], low[1], high[1])


def test_a_stopped_export_goes_on_in_pieces(placed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    placed.export("whole.gpkg", format="geopackage")
    monkeypatch.setattr(geopackage, "PIECE_BYTES", 100)
    end = Destination.end

    def stop(destination: Destination, *_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Destination, "end", stop)
    with pytest.raises(KeyboardInterrupt):
        placed.export("map.gpkg", format="geopackage")
    left = placed.folder / ".tmp-map.gpkg-0a.gpkg-journal"  # as a killed export leaves it
    left.touch()
    monkeypatch.setattr(Destination, "end", end)
    placed.export("map.gpkg", format="geopackage")
    assert not left.exists()
    for layer in ("masks_epsg_32633", "masks_epsg_32733"):
        whole, pieces = (
            pyogrio.read_arrow(placed.folder / name, layer=layer)[1] for name in ("whole.gpkg", "map.gpkg")
        )
        assert pieces.equals(whole)


def test_a_file_for_each_part_of_the_split(placed: Any) -> None:
    placed.export("map.gpkg", format="geopackage", split="0.5,0.5")
    expected: dict[str, set[str]] = {}
    for row in placed.rows():
        if row["crs"]:
            split = split_of(row["image_id"], {"train": 0.5, "val": 0.5}, 0)
            expected.setdefault(f"map-{split}.gpkg", set()).add(row["image_id"])
    written = {
        path.name: {
            image_id
            for layer in pyogrio.list_layers(path)[:, 0]
            for image_id in pyogrio.read_arrow(path, layer=layer)[1]["image_id"].to_pylist()
        }
        for path in placed.folder.glob("map*.gpkg")
    }
    assert written == expected


@pytest.mark.parametrize("form", ["geojson", "geopackage"])
def test_images_without_a_place_do_not_count_as_exported(placed: Any, form: str) -> None:
    counts = placed.export("map.gpkg" if form == "geopackage" else "map", format=form).counts
    of_places = [row for row in placed.rows() if row["crs"]]
    assert (counts.images, counts.masks) == (len(PLACES), sum(row["num_masks"] for row in of_places))
    assert counts.turned == 0


def test_no_file_if_no_mask_is_left(placed: Any) -> None:
    before = sorted(placed.folder.iterdir())
    with pytest.raises(UsageError, match="no mask is left to export, so there is no GeoPackage to write"):
        placed.export("map.gpkg", format="geopackage", where="area < 0")
    assert sorted(placed.folder.iterdir()) == before


def test_what_cannot_be_written_is_said_first(placed: Any) -> None:
    with pytest.raises(UsageError, match=r"writes one file: name .*/map\.gpkg"):
        placed.export("map", format="geopackage")
    with pytest.raises(
        UsageError, match=r"--format coco does not write the file .* give --format geopackage"
    ):
        placed.export("map.gpkg")
    program = (
        "import sys; sys.modules['pyogrio'] = None; from pipeline.export.geopackage import GeoPackage;"
        "from pipeline.export.destination import Destination; GeoPackage(Destination.at('/x.gpkg'), ('',))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, timeout=60)
    assert b"pip install 'sam-label[geo]'" in ended.stderr
