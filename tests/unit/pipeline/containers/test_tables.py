"""Images in Parquet files, on a disk."""

from pathlib import Path

import lance
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest
from boxes import SETTINGS, hf_images, images_of, png, reason_of, table_into, tar_into, together
from long_values import write_one_long_value

from pipeline.containers import parquet_table
from pipeline.errors import Reason, UsageError
from pipeline.images.fetch import fetched, fetched_together
from pipeline.inputs.options import SourceOptions
from pipeline.inputs.source import Source
from pipeline.store.objects import UNKNOWN_SIZE

IMAGES = [png(number) for number in range(60)]
PARTS = {f"row={number}": data for number, data in enumerate(IMAGES)}


PATH_FIRST = pa.StructArray.from_arrays(
    [pa.array([f"{number}.png" for number in range(60)]), pa.array(IMAGES)], ["path", "bytes"]
)


@pytest.mark.parametrize("small_group", [1 << 20, 0], ids=["kept groups", "page by page"])
@pytest.mark.parametrize(
    "column",
    [hf_images(IMAGES), PATH_FIRST, pa.array(IMAGES, pa.large_binary())],
    ids=["hf", "path first", "bytes"],
)
def test_each_row(
    tmp_path: Path, column: pa.Array, small_group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_table, "SMALL_GROUP", small_group)
    path = table_into(tmp_path / "y.parquet", {"label": pa.array(range(60)), "i": column}, row_group_size=21)
    assert images_of(path) == PARTS
    assert {part: got.data for part, got in together(path).items()} == PARTS
    row = list(Source.at(str(path)).rows())[17]
    assert (row.uri, row.size) == (f"file://{path}#row=17", UNKNOWN_SIZE)
    assert fetched({"uri": row.uri, "etag": "", "size": 0}, SETTINGS).data == IMAGES[17]


def test_a_small_file_of_long_images_is_not_held_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_table, "SMALL_GROUP", 40 << 20)
    image = IMAGES[0] + bytes(20 << 20)
    path = tmp_path / "y.parquet"
    write_one_long_value(path, "i", image, rows=100)
    pool = pa.default_memory_pool()
    before = pool.max_memory()
    got = fetched({"uri": f"file://{path}#row=99", "etag": "", "size": UNKNOWN_SIZE}, SETTINGS)
    assert got.data == image
    assert pool.max_memory() <= max(before, 1 << 30)


def test_a_row_has_one_name(tmp_path: Path) -> None:
    path = table_into(tmp_path / "y.parquet", {"image": pa.array(IMAGES)})
    rows = [{"uri": f"file://{path}#row={row}", "etag": "", "size": 0} for row in ("0", "7", "07")]
    first, found, refused = fetched_together(rows, SETTINGS, threads=1)
    assert (first.data, found.data) == (IMAGES[0], IMAGES[7])
    assert "'row=07' is not a row; write row=17" in str(refused)


def test_a_column_that_is_chosen_stands_in_the_uri(tmp_path: Path) -> None:
    columns = {"left": pa.array(IMAGES[:2]), "right & up": pa.array(IMAGES[2:4])}
    path = table_into(tmp_path / "y.parquet", columns)
    with pytest.raises(UsageError, match=r"more than one column of images \(left, right & up\)"):
        Source.at(str(path)).require_images()
    rows = list(Source.at(str(path), SourceOptions(image_column="right & up")).rows())
    assert rows[1].uri == f"file://{path}#row=1&column=right & up"
    assert fetched(rows[1]._asdict(), SETTINGS).data == IMAGES[3]


def test_the_default_column_is_not_spelled_out(tmp_path: Path) -> None:
    path = table_into(tmp_path / "y.parquet", {"image": hf_images(IMAGES[:1]), "mask": pa.array([b"x"])})
    default, chosen = (
        [row.uri for row in Source.at(str(path), SourceOptions(image_column=column)).rows()]
        for column in (None, "image")
    )
    assert default == chosen == [f"file://{path}#row=0"]


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        ("none", r"has no column none \(its columns: image, label\); choose one with --image-column"),
        ("label", "has no images in its column label, which is int64; name a column of bytes"),
    ],
)
def test_a_wrong_column(tmp_path: Path, column: str, sentence: str) -> None:
    path = table_into(tmp_path / "y.parquet", {"image": hf_images(IMAGES[:1]), "label": pa.array([1])})
    with pytest.raises(UsageError, match=sentence):
        Source.at(str(path), SourceOptions(image_column=column)).require_images()


@pytest.mark.parametrize("name", ["photos", "photos/a.png", "list.txt", "x.tar"])
def test_a_column_of_what_is_no_table_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.png").write_bytes(IMAGES[0])
    table_into(tmp_path / "photos/y.parquet", {"image": hf_images(IMAGES[:1])})
    (tmp_path / "list.txt").write_text("photos/a.png")
    tar_into(tmp_path / "x.tar", [("a.png", IMAGES[0])])
    with pytest.raises(UsageError, match="--image-column is only for tables"):
        Source.at(str(tmp_path / name), SourceOptions(image_column="image")).require_images()


def test_rows_without_an_image(tmp_path: Path) -> None:
    path = table_into(tmp_path / "y.parquet", {"image": hf_images([None, b"text", IMAGES[0]])})
    results = together(path)
    assert (results["row=0"].reason, "only the path '0.png'" in str(results["row=0"])) == (
        Reason.SOURCE_MISSING,
        True,
    )
    assert [results[part].data for part in ("row=1", "row=2")] == [b"text", IMAGES[0]]
    etag = results["row=2"].etag
    assert reason_of({"uri": f"file://{path}#row=3", "etag": etag, "size": -1}) is Reason.SOURCE_MISSING


def encrypted(path: Path) -> None:
    class Keys(pe.KmsClient):  # type: ignore[misc]
        def __init__(self, _: object) -> None:
            super().__init__()

        def wrap_key(self, key: bytes, _: str) -> bytes:
            return key.hex().encode()

        def unwrap_key(self, key: bytes, _: str) -> bytes:
            return bytes.fromhex(key.decode())

    how = pe.EncryptionConfiguration(footer_key="k", column_keys={"k": ["image"]})
    made = pe.CryptoFactory(Keys).file_encryption_properties(pe.KmsConnectionConfig(), how)
    table_into(path, {"image": pa.array(IMAGES[:2])}, encryption_properties=made)


def cut(path: Path) -> None:
    data = table_into(path, {"image": hf_images(IMAGES)}).read_bytes()
    path.write_bytes(data[:-100] + bytes(60) + data[-40:])


@pytest.mark.parametrize(
    "make", [encrypted, cut, lambda path: path.write_bytes(b"no table"), lambda path: path.touch()]
)
def test_a_file_that_cannot_be_read_costs_itself_alone(
    tmp_path: Path, make, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path / "1.parquet")
    with pytest.raises(UsageError, match=r"1.parquet (is read as Parquet, but|cannot be read|is empty)"):
        Source.at(str(tmp_path / "1.parquet")).require_images()
    table_into(tmp_path / "2.parquet", {"image": hf_images(IMAGES[:1])})
    source = Source.at(str(tmp_path))
    assert [row.uri for row in source.rows()] == [f"file://{tmp_path}/2.parquet#row=0"]
    assert source.left_out.damages == 1
    assert f"{tmp_path}/1.parquet is damaged" in caplog.text


def test_a_damaged_row_group_is_its_rows_failure(tmp_path: Path) -> None:
    path = table_into(tmp_path / "y.parquet", {"image": hf_images(IMAGES)}, row_group_size=30)
    chunk = pq.read_metadata(path).row_group(1).column(0)
    data = bytearray(path.read_bytes())
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    data[start : start + 50] = b"\xff" * 50
    path.write_bytes(data)
    results = together(path)
    assert [results[f"row={row}"].data for row in range(30)] == IMAGES[:30]
    assert {results[f"row={row}"].reason for row in range(30, 60)} == {Reason.CORRUPT}


def test_a_row_of_a_column_that_cannot_be_told_costs_no_other_row(tmp_path: Path) -> None:
    path = table_into(tmp_path / "y.parquet", {"n": pa.array([1]), "a": [IMAGES[0]], "b": [IMAGES[1]]})
    parts = ["row=0", "row=0&column=a", "row=0&column=n", "row=0&column=c", "row=0&column=b"]
    rows = [{"uri": f"file://{path}#{part}", "etag": "", "size": 0, "image_id": ""} for part in parts]
    open_, a, number, missing, b = fetched_together(rows, SETTINGS, threads=4)
    assert (a.data, b.data) == (IMAGES[0], IMAGES[1])
    for refused in (open_, number, missing):
        assert refused.reason is Reason.SOURCE_MISSING
    assert "more than one column of images (a, b); name a column of images, as in row=17" in str(open_)


def test_tables_without_images(tmp_path: Path) -> None:
    table_into(tmp_path / "y.parquet", {"uri": pa.array(["s3://b/a.jpg"]), "n": pa.array([1])})
    with pytest.raises(UsageError, match=r"has no column of image bytes \(its columns: uri, n\)"):
        Source.at(str(tmp_path)).require_images()
    empty = table_into(tmp_path / "z.parquet", {"image": hf_images([])})
    with pytest.raises(UsageError, match="no image was found"):
        Source.at(str(empty)).require_images()


def test_a_replaced_table_is_not_read(tmp_path: Path) -> None:
    path = table_into(tmp_path / "y.parquet", {"image": hf_images(IMAGES[:3])})
    rows = [row._asdict() for row in Source.at(str(path)).rows()]
    fetched(rows[0], SETTINGS)
    table_into(path, {"image": hf_images(IMAGES[3:7])})
    assert reason_of(rows[0]) is Reason.SOURCE_CHANGED
    path.unlink()
    assert reason_of(rows[0]) is Reason.SOURCE_MISSING


def test_a_hugging_face_repository(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    (tmp_path / "data").mkdir()
    for number in range(2):
        name = f"data/train-{number:05}-of-00002.parquet"
        table_into(tmp_path / name, {"image": hf_images(IMAGES[number : number + 1])})
    parts = [row.uri.rpartition("/")[2] for row in Source.at(str(tmp_path)).rows()]
    assert parts == ["train-00000-of-00002.parquet#row=0", "train-00001-of-00002.parquet#row=0"]


def test_a_data_set_saved_to_disk_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "data-00000-of-00001.arrow").write_bytes(b"x")
    (tmp_path / "state.json").write_text("{}")
    with pytest.raises(UsageError, match=r"Arrow files are not read: save the data set as Parquet"):
        Source.at(str(tmp_path)).require_images()


BLOB = pa.field("image", pa.large_binary(), metadata={b"lance-encoding:blob": b"true"})


@pytest.mark.parametrize(
    "field", [pa.field("image", pa.binary()), pa.field("image", hf_images([]).type), BLOB], ids=str
)
def test_a_lance_dataset(tmp_path: Path, field: pa.Field) -> None:
    column = hf_images(IMAGES[:20]) if pa.types.is_struct(field.type) else pa.array(IMAGES[:20], field.type)
    path = tmp_path / "z.lance"
    lance.write_dataset(pa.table([column], schema=pa.schema([field])), path)
    assert images_of(path) == {part: PARTS[part] for part in list(PARTS)[:20]}
    assert {part: got.data for part, got in together(path).items()} == images_of(path)
    rows = [row._asdict() for row in Source.at(str(path)).rows()]
    lance.dataset(path).delete("true")
    assert fetched(rows[3], SETTINGS).data == IMAGES[3], "the version that was listed is still there"
    assert reason_of({**rows[0], "etag": "9"}) is Reason.SOURCE_CHANGED
    assert reason_of({**rows[0], "uri": rows[0]["uri"].replace("z.", "a.")}) is Reason.SOURCE_MISSING


@pytest.mark.parametrize("field", [pa.field("image", pa.binary()), BLOB], ids=str)
def test_a_row_of_lance_without_bytes_costs_no_other_row(tmp_path: Path, field: pa.Field) -> None:
    column = pa.array([IMAGES[0], None, IMAGES[2]], field.type)
    path = tmp_path / "z.lance"
    lance.write_dataset(pa.table([column], schema=pa.schema([field])), path)
    results = together(path)
    assert [results["row=0"].data, results["row=2"].data] == [IMAGES[0], IMAGES[2]]
    assert results["row=1"].reason is Reason.SOURCE_MISSING
