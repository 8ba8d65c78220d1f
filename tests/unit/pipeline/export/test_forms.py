"""Each format, read back with its own tool if there is one, else by its published description."""

import csv
import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pytest
import webdataset
from labelled_photos import FAILED, NAMES, labelled_listing, labelled_photos, photo
from PIL import Image, ImageDraw, ImageOps
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from scipy import ndimage

from pipeline.export.export import exported
from pipeline.export_config import ExportConfig
from pipeline.inputs.source import Source
from pipeline.output.row_masks import masks_of_row
from sam_core.label_map import label_map

TURNED = r"\.jpg-[0-9a-f]{12}\.png$"  # a turned photo's suffix, part of its id, and its copy's suffix


def upright(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def assert_coco(path: Path, rows: list[dict], images: Path | None = None) -> None:
    """Asserts that pycocotools reads the rows' masks from the file, and finds their images if copied."""
    coco = COCO(path)
    assert sorted(coco.getCatIds()) == [1]
    by_name = {re.sub(TURNED, "", image["file_name"]): image for image in coco.imgs.values()}
    assert len(by_name) == len(coco.imgs) == len(rows)
    for row in rows:
        image = by_name[row["uri"].partition("/photos/")[2].removesuffix(".jpg" * ("turned" in row["uri"]))]
        assert (image["width"], image["height"]) == (row["width"], row["height"])
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=image["id"], iscrowd=False))
        rles = [{"size": [row["height"], row["width"]], "counts": c.encode()} for c in row["mask_counts"]]
        assert [coco.annToRLE(one)["counts"].encode() for one in annotations] == [r["counts"] for r in rles]
        assert [one["area"] for one in annotations] == row["mask_area"]
        assert [one["bbox"] for one in annotations] == (coco_mask.toBbox(rles).tolist() if rles else [])
        assert [one["predicted_iou"] for one in annotations] == pytest.approx(row["mask_predicted_iou"])
        if images is not None:
            assert (np.asarray(Image.open(images / image["file_name"]).convert("RGB")).shape[:2]) == (
                row["height"],
                row["width"],
            )
    numbers = [one["id"] for one in coco.anns.values()]
    assert len(set(numbers)) == len(numbers) == sum(row["num_masks"] for row in rows)


def test_coco_as_one_file(labelled) -> None:
    result = labelled.export("coco.json")
    assert (result.counts.images, result.counts.masks) == (
        len(NAMES),
        sum(r["num_masks"] for r in labelled.rows()),
    )
    assert (result.counts.failed, result.counts.turned) == ({"NOT_AN_IMAGE": 1}, 1)
    rows = labelled.rows()
    names = {row["uri"].partition("/photos/")[2] for row in rows}
    assert {image["file_name"] for image in COCO(labelled.folder / "coco.json").imgs.values()} == names
    assert not (labelled.folder / "coco-images").exists()


def test_coco_as_one_file_beside_its_images(labelled) -> None:
    labelled.export("out/coco.json", images="copy")
    assert_coco(labelled.folder / "out/coco.json", labelled.rows(), labelled.folder / "out/coco-images")
    # `turned.jpg.png` may be another image
    (turned,) = (labelled.folder / "out/coco-images/sub").glob("turned*")
    assert re.search(TURNED, turned.name)
    assert (np.asarray(Image.open(turned)) == upright(labelled.photos / "sub/turned.jpg")).all()
    copy = labelled.folder / "out/coco-images/b ü%#.png"
    assert copy.read_bytes() == (labelled.photos / copy.name).read_bytes()


def test_coco_as_one_file_a_shard_and_links(labelled) -> None:
    labelled.export("coco", images="link")
    parts = sorted((labelled.folder / "coco/annotations").iterdir())
    assert [part.name for part in parts] == [f"instances_0000{part}.json" for part in range(3)]
    images = [image for part in parts for image in json.loads(part.read_text())["images"]]
    assert [image["id"] for image in images] == sorted({image["id"] for image in images})
    assert len(images) == len(NAMES)
    link = labelled.folder / "coco/images/sub/a.jpg"
    assert link.readlink() == labelled.photos / "sub/a.jpg"


def test_sa1b(labelled) -> None:
    labelled.export("sa1b", format="sa1b", images="copy")
    files = labelled.files("sa1b")
    said = [json.loads(data) for name, data in files.items() if name.endswith(".json")]
    assert len(said) == len(NAMES)
    rows = {row["uri"]: row for row in labelled.rows()}
    ordered = [rows[row["uri"]] for row in labelled.rows()]
    for one in said:
        assert set(one) == {"image", "annotations"}
        assert set(one["image"]) == {"image_id", "width", "height", "file_name"}
        assert f"sa_{one['image']['image_id']}.json" in files
        assert Path(one["image"]["file_name"]).stem == f"sa_{one['image']['image_id']}"
        size = Image.open(io.BytesIO(files[one["image"]["file_name"]])).size
        assert size == (one["image"]["width"], one["image"]["height"])
    by_number = sorted(said, key=lambda one: one["image"]["image_id"])
    for one, row in zip(by_number, ordered, strict=True):
        keys = [
            "id",
            "segmentation",
            "bbox",
            "area",
            "predicted_iou",
            "stability_score",
            "crop_box",
            "point_coords",
        ]
        assert all(list(annotation) == keys for annotation in one["annotations"])
        assert [a["segmentation"]["counts"] for a in one["annotations"]] == row["mask_counts"]
        assert all(a["segmentation"]["size"] == [row["height"], row["width"]] for a in one["annotations"])
        assert [a["bbox"] for a in one["annotations"]] == row["mask_bbox"]
        assert [a["point_coords"] for a in one["annotations"]] == [[p] for p in row["mask_point_coords"]]


def test_yolo_draws_the_largest_parts_and_counts_the_rest(labelled) -> None:
    result = labelled.export("yolo", format="yolo")
    files = labelled.files("yolo")
    lost = filled = 0
    for row in labelled.rows():
        stem = f"{Path(row['uri'].partition('/photos/')[2]).with_suffix('')}-{row['image_id'][:12]}"
        assert [name for name in files if name.startswith(f"images/train/{stem}.")]
        lines = files[f"labels/train/{stem}.txt"].decode().splitlines()
        masks = masks_of_row(row)
        assert len(lines) == len(masks)
        for index, line in enumerate(lines):
            kind, *numbers = line.split()
            points = np.array(numbers, float).reshape(-1, 2) * [row["width"], row["height"]]
            image = Image.new("1", (row["width"], row["height"]))
            # as Ultralytics does: cut to whole pixels, filled together with the line
            ImageDraw.Draw(image).polygon([tuple(p) for p in points.astype(int).tolist()], fill=1, outline=1)
            mask = masks.mask(index)
            labels, _ = ndimage.label(mask, structure=np.ones((3, 3)))
            part = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
            drawn = ndimage.binary_fill_holes(part)
            assert kind == "0"
            assert len(points) >= 3
            assert (np.array(image) == drawn).all()
            lost, filled = lost + (mask & ~drawn).sum(), filled + (drawn & ~mask).sum()
    assert (result.counts.lost["pixels of lost parts"], result.counts.lost["pixels of filled holes"]) == (
        lost,
        filled,
    )
    assert lost > 0 < filled
    assert files["data.yaml"].decode().startswith("train: images/train\nval: images/train\nnames:\n")


def test_labels_lead_to_images_that_stay_where_they_are(tmp_path: Path) -> None:
    """The names are a macOS screenshot's and a long one; a list names one image in another folder."""
    photos, elsewhere = tmp_path / "photos", tmp_path / "elsewhere"
    labelled_photos(str(elsewhere), str(tmp_path / "unused"))
    names = ["Screenshot at 3.04\u202fPM.jpg", "\u6f22" * 80 + ".jpg", "a.jpg"]
    photos.mkdir()
    for name in names:
        (photos / name).write_bytes((elsewhere / "a.jpg").read_bytes())
    (photos / "list.txt").write_text("\n".join([*names, "../elsewhere/a.jpg"]))
    labelled_listing(Source.at(str(photos / "list.txt")), str(elsewhere), str(tmp_path / "masks"))
    for form, dest in (("coco", "coco.json"), ("sa1b", "sa1b")):
        exported(ExportConfig(output=str(tmp_path / "masks"), dest=str(tmp_path / dest), format=form))
    found = [image["file_name"] for image in COCO(tmp_path / "coco.json").imgs.values()]
    assert sorted(found) == sorted([*names, str(elsewhere / "a.jpg")])
    assert all((photos / name).exists() for name in found)
    of_images = [json.loads(path.read_text())["image"] for path in (tmp_path / "sa1b").glob("*.json")]
    assert sorted(image["file_name"] for image in of_images) == sorted(found)


@pytest.mark.parametrize("images", ["copy", "link"])
def test_yolo_finds_the_labels_of_each_image(tmp_path: Path, images: Any) -> None:
    """Ultralytics loads files of known suffixes, and puts `labels` for the last folder `images`."""
    photos = tmp_path / "photos"
    for name in ("images/images/a.jpg", "images/no suffix", "b.jpg"):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        (photos / name).write_bytes(photo(1, "a.jpg"))
    labelled_photos(str(photos), str(tmp_path / "masks"))
    config = ExportConfig(
        output=str(tmp_path / "masks"), dest=str(tmp_path / "yolo"), format="yolo", images=images
    )
    count = exported(config).counts.images
    labels = set()
    for path in (tmp_path / "yolo/images").rglob("*.*"):
        assert path.suffix in (".jpg", ".png", ".webp")
        before, after = str(path.with_suffix(".txt")).rsplit("/images/", 1)
        labels.add(Path(f"{before}/labels/{after}"))
    assert labels == set((tmp_path / "yolo/labels").rglob("*.txt"))
    assert len(labels) == count == len(NAMES) + 3


def test_png_label_maps(labelled) -> None:
    labelled.export("png", format="png")
    files = labelled.files("png")
    tables = [text.decode() for name, text in files.items() if name.endswith(".csv")]
    table = [row for text in tables for row in csv.DictReader(io.StringIO(text))]
    for row in labelled.rows():
        name = f"masks/{row['uri'].partition('/photos/')[2]}.png"
        image = Image.open(io.BytesIO(files[name]))
        labels = label_map(masks_of_row(row))
        assert image.mode == "I;16"
        assert (np.asarray(image) == labels).all()
        mine = [one for one in table if one["label_map"] == name]
        assert [int(one["value"]) for one in mine] == list(range(1, row["num_masks"] + 1))
        assert [int(one["visible_area"]) for one in mine] == [
            int((labels == value).sum()) for value in range(1, row["num_masks"] + 1)
        ]
    assert len(table) == sum(row["num_masks"] for row in labelled.rows())


def test_webdataset(labelled) -> None:
    labelled.export("tars", format="webdataset")
    tars = sorted(str(path) for path in (labelled.folder / "tars").glob("*.tar"))
    samples = list(webdataset.WebDataset(tars, shardshuffle=False))
    rows = {row["image_id"]: row for row in labelled.rows()}
    assert sorted(sample["__key__"] for sample in samples) == sorted(rows)
    for sample in samples:
        row, said = rows[sample["__key__"]], json.loads(sample["json"])
        assert [a["segmentation"]["counts"] for a in said["annotations"]] == row["mask_counts"]
        (suffix,) = set(sample) & {"jpg", "png", "webp"}
        pixels = np.asarray(Image.open(io.BytesIO(sample[suffix])).convert("RGB"))
        assert (pixels == upright(Path(row["uri"].removeprefix("file://")))).all()
    with tarfile.open(tars[0]) as tar:
        assert {(m.mtime, m.uid, m.gid, m.uname, m.mode) for m in tar} == {(0, 0, 0, "", 0o644)}


def test_lance(labelled) -> None:
    labelled.export("masks.lance", format="lance", images="copy", where="predicted_iou > 0.55")
    found = lance.dataset(str(labelled.folder / "masks.lance")).to_table().to_pylist()
    rows = {row["image_id"]: row for row in labelled.rows() if row["num_masks"] > 1}
    assert sorted(one["image_id"] for one in found) == sorted(rows)
    for one in found:
        row = rows[one["image_id"]]
        assert one["mask_counts"] == row["mask_counts"][1:]
        assert one["mask_bbox"] == row["mask_bbox"][1:]
        pixels = np.asarray(Image.open(io.BytesIO(one["image"])).convert("RGB"))
        assert (pixels == upright(Path(row["uri"].removeprefix("file://")))).all()


@pytest.mark.parametrize("form", ["coco", "sa1b", "yolo", "png", "webdataset", "lance"])
def test_a_split_parts_the_images(labelled, form: str) -> None:
    result = labelled.export("split", format=form, split="0.5,0.5", seed=labelled.seed_of_two_halves())
    files = labelled.files("split")
    assert result.counts.images == len(NAMES)
    if form == "lance":
        splits = lance.dataset(str(labelled.folder / "split")).to_table()["split"].to_pylist()
        assert sorted(set(splits)) == ["train", "val"]
        return
    folder = {"coco": "annotations/instances_", "yolo": "labels/", "png": "masks/"}.get(form, "")
    between = "_" if form == "coco" else "/"
    assert [name for name in files if name.startswith(f"{folder}train{between}")]
    assert [name for name in files if name.startswith(f"{folder}val{between}")]
    if form == "yolo":
        assert files["data.yaml"].startswith(b"train: images/train\nval: images/val\nnames:")


def test_a_split_of_one_file_is_a_file_each(labelled) -> None:
    labelled.export("coco.json", split="0.5,0.5")
    parts = [COCO(labelled.folder / f"coco-{split}.json") for split in ("train", "val")]
    assert not (labelled.folder / "coco.json").exists()
    assert sum(len(part.imgs) for part in parts) == len(NAMES)
    assert not set(parts[0].imgs) & set(parts[1].imgs)


def test_failed_images_are_in_no_form(labelled) -> None:
    labelled.export("coco.json")
    assert FAILED not in (labelled.folder / "coco.json").read_text()
