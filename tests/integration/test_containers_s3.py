"""Archives and tables in a bucket: listed, labelled, and read again with the dataset alone.

The labels are made up; every other step is real, without Ray.
"""

from collections.abc import Callable
from pathlib import Path

import boto3
import numpy as np
import pytest
from boxes import SETTINGS, hf_images, png, table_into, tar_into
from drawn_masks import image_masks
from labelled_photos import blobs

from pipeline.config import RunConfig
from pipeline.doctor.places import readable_input
from pipeline.errors import ImageError, Reason, UsageError
from pipeline.export.export import exported
from pipeline.export_config import ExportConfig
from pipeline.images.decode import decoded_image
from pipeline.images.fetch import fetched_together
from pipeline.inputs.source import Source
from pipeline.output.format.identity import Identity
from pipeline.output.format.manifest import rows_of
from pipeline.output.format.schema import ok_row, table_of
from pipeline.output.shards import write_shards
from pipeline.output.writer import Listing, open_output
from pipeline.store.objects import Got
from pipeline.store.storage import Store
from sam_core.options import MaskOptions
from sam_label import Dataset

SIDE = 4
TAR = {f"x.tar#d/{number}.png": png(number) for number in range(9)}
COMPRESSED = {f"z.tar.gz#{number}.png": png(100 + number) for number in range(5)}
TABLE = {f"y.parquet#row={number}": png(50 + number) for number in range(25)}
ALL = {**TAR, **COMPRESSED, **TABLE}


@pytest.fixture
def bucket(seaweedfs: str, use_store: Callable[[str], str], tmp_path: Path) -> str:
    """A bucket with tars and a table below `in`, but no image files."""
    bucket, folder = use_store(seaweedfs), tmp_path / "in"
    folder.mkdir()
    tar_into(folder / "x.tar", [("d/0.json", b"{}"), *members(TAR)])
    tar_into(folder / "z.tar.gz", members(COMPRESSED), "w:gz")
    table_into(folder / "y.parquet", {"image": hf_images(TABLE.values())}, row_group_size=10)
    for path in folder.iterdir():
        upload(path, bucket)
    return bucket


def members(images: dict[str, bytes]) -> list[tuple[str, bytes]]:
    return [(part.partition("#")[2], data) for part, data in images.items()]


def upload(path: Path, bucket: str) -> None:
    boto3.client("s3").upload_file(str(path), bucket.removeprefix("s3://"), f"in/{path.name}")


def label(source: Source, output: str) -> None:
    identity = Identity("vit_t", "0" * 64, MaskOptions())
    masks = image_masks(blobs(1, 2, SIDE, SIDE), SIDE, SIDE)
    with open_output(Store.at(output), identity, Listing(str(source.location), source.rows)) as run:
        images = [row._asdict() for row in rows_of(run.dataset.pending())]
        got = fetched_together(images, SETTINGS, threads=8)
        assert all(isinstance(each, Got) for each in got), got
        rows = [
            ok_row({**image, "etag": each.etag}, decoded_image(each.data, 1 << 20), masks)
            for image, each in zip(images, got, strict=True)
            if isinstance(each, Got)
        ]
        write_shards(run.store, f"{run.run}-000000", table_of(rows, identity.schema), run.sink().metadata)


def test_from_listing_to_readers(bucket: str, tmp_path: Path) -> None:
    source = Source.at(f"{bucket}/in")
    source.require_images()
    label(source, f"{bucket}/out")
    assert source.left_out.others == 1, "d/0.json"
    assert (
        f"{bucket}/in/x.tar#d/0.png can be read"
        in readable_input(RunConfig(input=f"{bucket}/in", output=f"{bucket}/no")).says
    )

    records = {record.uri.removeprefix(f"{bucket}/in/"): record for record in Dataset.open(f"{bucket}/out")}
    assert records.keys() == ALL.keys()
    for part in ("x.tar#d/7.png", "z.tar.gz#3.png", "y.parquet#row=24"):
        grey = decoded_image(ALL[part], 1 << 20).image_HW3
        assert np.array_equal(records[part].image, grey)

    exported(ExportConfig(output=f"{bucket}/out", dest=str(tmp_path / "coco"), images="copy"))
    copies = {
        path.relative_to(tmp_path / "coco" / "images").as_posix(): path.read_bytes()
        for path in (tmp_path / "coco" / "images").rglob("*")
        if path.is_file()
    }
    # a row's name has no suffix, so a copy's made-up name has the image's id
    made_up = {part: f"-{records[part]['image_id'][:12]}.png" if "row" in part else "" for part in ALL}
    names = {part: part.replace("#", "/") + made_up[part] for part in ALL}
    assert copies == {names[part]: data for part, data in ALL.items()}

    tar_into(tmp_path / "x.tar", [("other.png", png(0)), *members(TAR)])
    upload(tmp_path / "x.tar", bucket)
    (record,) = (record for record in Dataset.open(f"{bucket}/out") if record.uri.endswith("#d/0.png"))
    with pytest.raises(ImageError, match="run again with --refresh") as changed:
        _ = record.image
    assert changed.value.reason is Reason.SOURCE_CHANGED


def test_nothing_can_link_to_a_part(tmp_path: Path) -> None:
    path = tar_into(tmp_path / "x.tar", members(TAR))
    label(Source.at(str(path)), str(tmp_path / "out"))
    asked = ExportConfig(
        output=str(tmp_path / "out"), dest=str(tmp_path / "yolo"), format="yolo", images="link"
    )
    with pytest.raises(UsageError, match="is part of a file, and a link needs a whole file"):
        exported(asked)
