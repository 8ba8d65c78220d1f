"""A GeoPackage of the masks of images with a place on earth: one file, a layer for each coordinate system.

Unlike GeoJSON it keeps the coordinates of the images' own systems. SQLite needs random access to its file. So
each shard's polygons are stored as Arrow tables in the export's state folder; at the end GDAL writes them,
some at a time, to a local file, which is then published. This needs the package `pyogrio`, of the extra
`geo`.
"""

import struct
import tempfile
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pyarrow as pa

from pipeline.errors import UsageError
from pipeline.export.destination import Claim, Destination
from pipeline.export.form import ExportedImage, Form, NothingToExport, Part
from pipeline.export.map_shapes import INSTALL, MapShape, map_shapes, records_of
from pipeline.export.record import Record
from pipeline.export_config import ImagesAs
from pipeline.store.disk import TEMPORARY

PIECE_BYTES = 16 << 20  # of polygons in memory
_CHUNK_BYTES = 8 << 20  # of the file, as it is published
_GEOMETRY = "geom"
_COLUMNS = pa.schema(
    [
        pa.field("image_id", pa.string()),
        pa.field("uri", pa.string()),
        pa.field("mask", pa.int64()),
        pa.field("area", pa.int64()),
        pa.field("area_on_map", pa.float64()),
        pa.field("predicted_iou", pa.float64()),
        pa.field("stability_score", pa.float64()),
        *(pa.field(name, pa.int64()) for name in ("box_x", "box_y", "box_width", "box_height")),
        pa.field(_GEOMETRY, pa.binary(), metadata={"ARROW:extension:name": "geoarrow.wkb"}),
    ]
)


@dataclass(frozen=True)
class GeoPackage(Form):
    """One file, or one for each part of the split."""

    destination: Destination
    splits: tuple[str, ...]  # ("",) if there is no split

    images_as: ClassVar[tuple[ImagesAs, ...]] = ("reference",)

    def __post_init__(self) -> None:
        _pyogrio()
        if not self.destination.file:
            raise UsageError(f"--format geopackage writes one file: name {self.destination.url}.gpkg")

    def claim(self) -> Claim:
        return Claim((), tuple(map(self.destination.file_of, self.splits)))

    def write(self, part: Part, images: Iterable[list[ExportedImage]]) -> None:
        pieces = _Pieces(self.destination, part)
        for record in records_of(part, images):
            pieces.add(record)
        pieces.keep()

    def end(self, last: Part, kept: Mapping[int, Mapping[str, Any]]) -> None:
        pieces = [piece for _, part in sorted(kept.items()) for piece in part["pieces"]]
        if not pieces:
            raise NothingToExport("no mask is left to export, so there is no GeoPackage to write")
        for split in self.splits:
            of_split = [(crs, name) for its, crs, name in pieces if its == split]
            if of_split:
                with self._file_here(split) as path:
                    for crs, name in sorted(of_split):
                        self._append(path, crs, pa.ipc.open_file(last.store.read(name)).read_all())
                    last.publish_chunks(self.destination.file_of(split), _chunks(path))

    @contextmanager
    def _file_here(self, split: str) -> Iterator[Path]:
        """A local path for the file while it is made: beside its final path, if that is on a disk."""
        store = self.destination.store
        name = f"{TEMPORARY}{self.destination.file_of(split)}-{uuid.uuid4().hex}.gpkg"
        if not store.is_local:
            with tempfile.TemporaryDirectory() as elsewhere:
                yield Path(elsewhere, name)
            return
        folder = Path(store.location.path)
        try:
            yield folder / name
        finally:
            for path in folder.glob(f"{name}*"):  # SQLite keeps a journal beside it
                path.unlink(missing_ok=True)

    def _append(self, path: Path, crs: str, table: pa.Table) -> None:
        pyogrio = _pyogrio()
        layer = layer_of(crs)
        has_layer = path.exists() and layer in pyogrio.list_layers(path)[:, 0]
        try:
            pyogrio.write_arrow(
                table,
                path,
                layer=layer,
                driver="GPKG",
                geometry_name=_GEOMETRY,
                geometry_type="MultiPolygon",
                crs=crs,
                append=has_layer,
            )
        except pyogrio.errors.CRSError as fault:
            raise UsageError(f"GDAL does not know the coordinate system {crs} ({fault})") from fault


def layer_of(crs: str) -> str:
    """The layer of a coordinate system: `masks_epsg_32633`."""
    return f"masks_{crs.lower().replace(':', '_')}"


class _Pieces:
    """The polygons of one shard by split and coordinate system, stored when they are many."""

    def __init__(self, destination: Destination, part: Part) -> None:
        self.destination, self.part = destination, part
        self.rows: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        self.size = 0
        part.kept["pieces"] = []

    def add(self, record: Record) -> None:
        rows = self.rows[record.split, record.crs or ""]
        for shape in map_shapes(record):
            rows.append(_row(record, shape))
            self.size += len(rows[-1][_GEOMETRY])
            if self.size > PIECE_BYTES:
                self.keep()
                rows = self.rows[record.split, record.crs or ""]

    def keep(self) -> None:
        for (split, crs), rows in sorted(self.rows.items()):
            if not rows:
                continue
            name = self.destination.state(f"{self.part.number:05d}-{len(self.part.kept['pieces']):04d}.arrow")
            encoded = pa.BufferOutputStream()
            with pa.ipc.new_file(encoded, _COLUMNS) as file:
                file.write_table(pa.Table.from_pylist(rows, schema=_COLUMNS))
            self.part.store.publish(name, encoded.getvalue().to_pybytes())
            self.part.kept["pieces"].append([split, crs, name])
        self.rows.clear()
        self.size = 0


def _row(record: Record, shape: MapShape) -> dict[str, Any]:
    x0, y0, x1, y1 = shape.box_xyxy
    return {
        "image_id": record.image_id,
        "uri": record.uri,
        "mask": shape.number,
        "area": shape.area,
        "area_on_map": shape.area_on_map,
        "predicted_iou": shape.predicted_iou,
        "stability_score": shape.stability_score,
        "box_x": x0,
        "box_y": y0,
        "box_width": x1 + 1 - x0,
        "box_height": y1 + 1 - y0,
        _GEOMETRY: wkb(shape),
    }


def wkb(shape: MapShape) -> bytes:
    """The mask as a MultiPolygon of OGC's well-known binary, little-endian."""
    body = [struct.pack("<BII", 1, 6, len(shape.parts))]
    for part in shape.parts:
        body.append(struct.pack("<BII", 1, 3, len(part)))
        for ring_N2 in part:
            body += [struct.pack("<I", len(ring_N2)), ring_N2.astype("<f8").tobytes()]
    return b"".join(body)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def _pyogrio() -> ModuleType:
    try:
        import pyogrio
    except ImportError:
        raise UsageError(f"--format geopackage needs the package pyogrio: {INSTALL}") from None
    module: ModuleType = pyogrio
    return module
