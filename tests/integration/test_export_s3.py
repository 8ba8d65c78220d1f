"""Exports from and to real S3 servers: the same whole files as on a disk, large ones uploaded in parts."""

import io
import json
import tarfile
from pathlib import Path

import boto3
import lance
import numpy as np
import pyogrio
import pytest
import tifffile
from labelled_photos import NAMES, labelled_photos

from pipeline.export import coco
from pipeline.export.destination import Destination
from pipeline.export.export import exported
from pipeline.export_config import ExportConfig
from pipeline.output.commands.compact import compact
from pipeline.output.commands.merge import merge
from pipeline.output.commands.validate import validate
from pipeline.store import s3_upload
from pipeline.store.storage import Store

FORMS = ["coco", "sa1b", "yolo", "png", "webdataset"]


def objects(url: str) -> dict[str, bytes]:
    store = Store.at(url)
    names = [entry.name for page in store.list() for entry in page]
    return {name: store.read(name) for name in names if not name.startswith(".")}


def test_a_bucket_is_exported_into_a_bucket(one_store: str) -> None:
    photos, masks = f"{one_store}/photos of mine", f"{one_store}/masks"
    labelled_photos(photos, masks)
    for form in FORMS:
        result = exported(
            ExportConfig(output=masks, dest=f"{one_store}/out/{form}", format=form, images="copy")
        )
        assert result.counts.images == len(NAMES)
        found = objects(f"{one_store}/out/{form}")
        assert len(found) == result.counts.files
    images = json.loads(objects(f"{one_store}/out/coco")["annotations/instances_00000.json"])["images"]
    assert images[0]["file_name"] == "a.jpg"
    tar = objects(f"{one_store}/out/webdataset")["00000-000.tar"]
    with tarfile.open(fileobj=io.BytesIO(tar)) as members:
        assert len(members.getnames()) == 6


def test_one_file_larger_than_a_part_is_put_in_parts(
    object_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, masks = str(tmp_path / "photos"), str(tmp_path / "masks")
    labelled_photos(photos, masks)
    monkeypatch.setattr(coco, "PIECE_BYTES", 100)
    exported(ExportConfig(output=masks, dest=str(tmp_path / "coco.json")))
    exported(ExportConfig(output=masks, dest=f"{object_store}/coco.json"))
    expected = (tmp_path / "coco.json").read_bytes()
    assert Store.at(object_store).read("coco.json") == expected


def test_a_geopackage_in_a_bucket(one_store: str, tmp_path: Path) -> None:
    keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633)
    tags = [
        (33550, 12, 3, (10.0, 10.0, 0.0), True),
        (33922, 12, 6, (0.0,) * 6, True),
        (34735, 3, 16, keys, True),
    ]
    scene = io.BytesIO()
    tifffile.imwrite(scene, np.zeros((32, 48), np.uint8), extratags=tags)
    Store.at(f"{one_store}/photos").publish("scene.tif", scene.getvalue())
    labelled_photos(f"{one_store}/photos", f"{one_store}/masks")
    destination = f"{one_store}/map.gpkg"
    exported(ExportConfig(output=f"{one_store}/masks", dest=destination, format="geopackage"))
    (tmp_path / "map.gpkg").write_bytes(Store.at(one_store).read("map.gpkg"))
    _, table = pyogrio.read_arrow(tmp_path / "map.gpkg")
    assert set(table["uri"].to_pylist()) == {f"{one_store}/photos/scene.tif"}


def test_an_upload_in_parts_is_whole_or_not_there(object_store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store, part = Store.at(object_store), 5 << 20  # the smallest part that S3 accepts
    monkeypatch.setattr(s3_upload, "PART_BYTES", part)
    chunk = bytes(range(256)) * 4096

    def broken():
        for _ in range(12):
            yield chunk
        assert store.info("broken") is None
        raise KeyboardInterrupt

    store.publish_chunks("whole", (chunk for _ in range(12)))
    assert store.read("whole") == chunk * 12
    store.publish_chunks("small", [b"a", b"", b"b"])
    store.publish_chunks("empty", [])
    assert (store.read("small"), store.read("empty")) == (b"ab", b"")
    with pytest.raises(KeyboardInterrupt):
        store.publish_chunks("broken", broken())
    assert store.info("broken") is None
    bucket = object_store.removeprefix("s3://")
    assert "Uploads" not in boto3.client("s3").list_multipart_uploads(Bucket=bucket)


def test_a_stopped_export_goes_on(one_store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    photos, masks = f"{one_store}/photos", f"{one_store}/masks"
    labelled_photos(photos, masks)
    config = ExportConfig(output=masks, dest=f"{one_store}/coco.json", split="0.5,0.5")
    mark = Destination.mark

    def stop(destination, part, what) -> None:
        if part == 2:
            raise KeyboardInterrupt
        mark(destination, part, what)

    monkeypatch.setattr(Destination, "mark", stop)
    with pytest.raises(KeyboardInterrupt):
        exported(config)
    assert Store.at(one_store).info("coco-train.json") is None
    monkeypatch.setattr(Destination, "mark", mark)  # an undo would take the environment along
    exported(config)
    texts = [Store.at(one_store).read(f"coco-{split}.json") for split in ("train", "val")]
    assert sum(len(json.loads(text)["images"]) for text in texts) == len(NAMES)


def test_datasets_in_a_bucket_are_merged_and_compacted(one_store: str) -> None:
    for folder in ("one", "two"):
        labelled_photos(f"{one_store}/{folder}", f"{one_store}/masks-{folder}")
    both = f"{one_store}/both"
    result = merge([f"{one_store}/masks-one", f"{one_store}/masks-two"], both)
    assert result.rows == 2 * (len(NAMES) + 1)
    assert compact(both).shards == 1
    assert validate(both).problems == []


def test_lance_in_a_bucket(one_store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")  # of Lance's own client, for a server on loopback
    labelled_photos(f"{one_store}/photos", f"{one_store}/masks")
    exported(ExportConfig(output=f"{one_store}/masks", dest=f"{one_store}/masks.lance", format="lance"))
    assert lance.dataset(f"{one_store}/masks.lance").count_rows() == len(NAMES)
