"""Vectors in a dataset: there only on request, with their masks through every command, and validated."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config import FilterConfig
from pipeline.errors import UsageError
from pipeline.output.commands.compact import compact
from pipeline.output.commands.filter import filtered_dataset
from pipeline.output.commands.merge import merge
from pipeline.output.commands.retry import retry
from pipeline.output.commands.row_check import row_faults
from pipeline.output.commands.validate import validate
from pipeline.output.croissant import croissant_text
from pipeline.output.dataset import Dataset
from pipeline.output.format.identity import Identity
from pipeline.output.format.schema import SCHEMA, SCHEMA_WITH_VECTORS, rows_of_batch
from pipeline.store.storage import Store
from sam_core.options import MaskOptions

NAMES = [f"{number:02d}" for number in range(25)]
LOOSE = MaskOptions(pred_iou_thresh=0.5, box_nms_thresh=1, crop_nms_thresh=1, mask_embeddings=True)


@pytest.fixture
def photos(rehearsal) -> Any:
    photos = rehearsal(NAMES)
    photos.identity = Identity("vit_t", "0" * 64, LOOSE)
    return photos


def rows_of(path: Path) -> list[dict[str, Any]]:
    """All rows by uri."""
    rows: list[dict[str, Any]] = Dataset.at(str(path)).table().sort_by("uri").to_pylist()
    return rows


def test_the_columns_are_there_only_if_asked_for(tmp_path: Path, photos, rehearsal) -> None:
    photos.run(Store.at(str(tmp_path / "with")), shards=1)
    rehearsal(NAMES).run(Store.at(str(tmp_path / "without")), shards=1)
    schemas = {}
    for name in ("with", "without"):
        (shard,) = (tmp_path / name / "data").iterdir()
        schemas[name] = pq.read_schema(shard)
        meaning = json.loads(schemas[name].metadata[b"sam_label"])
        assert ("mask_embeddings" in meaning["mask_options"]) == (name == "with")
    assert schemas["without"].names == SCHEMA.names
    assert schemas["with"].names == [*SCHEMA.names, "mask_embedding", "image_embedding"]
    vector = pa.list_(pa.float16(), 256)
    assert schemas["with"].field("mask_embedding").type == pa.list_(vector)
    assert schemas["with"].field("image_embedding").type == pa.list_(pa.float16())


def test_the_metadata_names_them(tmp_path: Path, photos) -> None:
    photos.run(Store.at(str(tmp_path)), shards=1)
    (images,) = json.loads(croissant_text(Dataset.at(str(tmp_path))))["recordSet"]
    fields = {field["name"]: (field["dataType"], field.get("arrayShape")) for field in images["field"]}
    assert fields["mask_embedding"] == ("cr:Float16", "-1,256")
    assert fields["image_embedding"] == ("cr:Float16", "-1")


def test_shards_whose_lists_have_a_fixed_size_are_read_as_the_others(tmp_path: Path, photos) -> None:
    """The first shards with these columns have such lists."""
    photos.run(Store.at(str(tmp_path)))
    before = rows_of(tmp_path)
    sizes = {"geo_transform": 6, "image_embedding": 256}
    for shard in sorted(tmp_path.glob("data/*.parquet"))[:2]:
        table = pq.read_table(shard)
        for name, size in sizes.items():
            old = pa.field(name, pa.list_(table.schema.field(name).type.value_type, size))
            column = pa.array(table[name].to_pylist(), old.type)
            table = table.set_column(table.schema.names.index(name), old, column)
        pq.write_table(table, shard)
        commit = tmp_path / "_commits" / f"{shard.stem}.json"
        commit.write_text(json.dumps({**json.loads(commit.read_text()), "bytes": shard.stat().st_size}))
    assert rows_of(tmp_path) == before
    assert validate(str(tmp_path)).problems == []
    compact(str(tmp_path))
    assert rows_of(tmp_path) == before
    (shard,) = (tmp_path / "data").iterdir()
    assert pq.read_schema(shard).field("geo_transform").type == pa.list_(pa.float64())


@pytest.mark.parametrize("begun_with", [True, False])
def test_going_on_with_another_setting_is_refused(
    tmp_path: Path, photos, rehearsal, begun_with: bool
) -> None:
    other = rehearsal(NAMES)
    other.identity = Identity("vit_t", "0" * 64, LOOSE.model_copy(update={"mask_embeddings": False}))
    first, second = (photos, other) if begun_with else (other, photos)
    first.run(Store.at(str(tmp_path)), shards=1)
    wanted = f"mask_embeddings {begun_with}, not {not begun_with}"
    with pytest.raises(UsageError, match=f"was made with {wanted}; use the same"):
        second.run(Store.at(str(tmp_path)))


def test_an_identity_is_read_as_it_was_written() -> None:
    for options in (LOOSE, MaskOptions()):
        identity = Identity("vit_t", "0" * 64, options)
        again = Identity.from_described(json.loads(json.dumps(identity.described())))
        assert again == identity
        assert again.fingerprint == identity.fingerprint


def test_rows_keep_their_vectors_through_retry_refresh_and_compact(tmp_path: Path, photos) -> None:
    store = Store.at(str(tmp_path))
    photos.run(store, shards=4)
    assert retry(str(tmp_path)) > 0
    photos.run(store)
    photos.etags["file:///photos/03"] = "2"
    photos.run(store, refresh=True)
    compact(str(tmp_path))
    assert rows_of(tmp_path) == photos.rows()
    assert Dataset.at(str(tmp_path)).table().schema.equals(SCHEMA_WITH_VECTORS)
    assert validate(str(tmp_path)).problems == []


def test_a_filters_vectors_follow_their_masks(tmp_path: Path, photos, monkeypatch) -> None:
    labelled = photos.row

    def graded(image: Any) -> dict[str, Any]:
        row = labelled(image)
        if row["status"] == "ok":
            row["mask_predicted_iou"] = [0.9 - 0.1 * index for index in range(row["num_masks"])]
        return row

    monkeypatch.setattr(photos, "row", graded)
    loose, tight = tmp_path / "loose", tmp_path / "tight"
    photos.run(Store.at(str(loose)))
    filtered_dataset(
        FilterConfig(input=str(loose), output=str(tight), mask=MaskOptions(pred_iou_thresh=0.75))
    )
    assert validate(str(tight)).problems == []
    before, after = rows_of(loose), rows_of(tight)
    assert any(row["num_masks"] == 3 for row in before)
    for old, new in zip(before, after, strict=True):
        assert new["image_embedding"] == old["image_embedding"]
        assert new["mask_embedding"] == (old["mask_embedding"] and old["mask_embedding"][:2])
    without = FilterConfig(
        input=str(loose), output=str(tmp_path / "x"), mask=MaskOptions(mask_embeddings=False)
    )
    with pytest.raises(UsageError, match="mask_embeddings cannot change"):
        filtered_dataset(without)


def test_a_merge_keeps_them_and_takes_no_dataset_without(tmp_path: Path, photos, rehearsal) -> None:
    one, two, both = (tmp_path / name for name in ("one", "two", "both"))
    photos.run(Store.at(str(one)))
    other = rehearsal(["x", "y", "z"])
    other.identity, other.source = photos.identity, "file:///others"
    other.run(Store.at(str(two)))
    merge([str(one), str(two)], str(both))
    expected = sorted(photos.rows() + other.rows(), key=lambda row: str(row["uri"]))
    assert rows_of(both) == expected
    other.identity = Identity("vit_t", "0" * 64, LOOSE.model_copy(update={"mask_embeddings": False}))
    other.run(Store.at(str(tmp_path / "plain")))
    with pytest.raises(UsageError, match="mask_embeddings False, not True"):
        merge([str(one), str(tmp_path / "plain")], str(tmp_path / "all"))


@pytest.mark.parametrize(
    ("column", "value", "fault"),
    [
        (
            "mask_embedding",
            np.ones((1, 256), np.float16),
            "it has 1 vectors for 3 masks, and one for the image",
        ),
        ("mask_embedding", None, "it has no vectors for 3 masks"),
        ("image_embedding", None, "it has 3 vectors for 3 masks, and none for the image"),
        ("image_embedding", np.full(256, np.inf, np.float16), "a vector holds a value that is not a number"),
    ],
)
def test_a_wrong_vector_is_found(photos, column: str, value: Any, fault: str) -> None:
    dataset_rows = [photos.row(image) for image in photos.listing()]
    table = pa.Table.from_pylist(dataset_rows, schema=SCHEMA_WITH_VECTORS)
    rows = [row for batch in table.to_batches() for row in rows_of_batch(batch)]
    row = next(row for row in rows if row["num_masks"] == 3)
    assert list(row_faults(row)) == []
    assert fault in next(row_faults(row | {column: value}))
    failed = next(row for row in rows if row["status"] == "failed")
    assert list(row_faults(failed)) == []
    assert list(row_faults(failed | {"image_embedding": np.ones(256)})) == ["it failed, but has masks"]
