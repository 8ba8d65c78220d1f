"""The images that lists of every format name, and the messages for wrong lists."""

import gzip
import io
import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from long_values import write_one_long_value
from PIL import Image

from pipeline.config import RunConfig
from pipeline.errors import UsageError
from pipeline.inputs.lists import repeats
from pipeline.inputs.lists.places import ListPlace
from pipeline.inputs.lists.repeats import Repeats
from pipeline.inputs.options import SourceOptions
from pipeline.inputs.source import Source
from pipeline.inputs.table_schema import is_list, text_columns
from pipeline.output.format.manifest import ManifestRow, image_id
from pipeline.store.objects import UNKNOWN_SIZE
from pipeline.store.uri import location

Written = Callable[[str, str | bytes], str]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """A function that writes a list and returns its path."""

    def write(name: str, content: str | bytes) -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


def rows_of(path: str, **options: str) -> list[ManifestRow]:
    return list(Source.at(path, SourceOptions(**options)).rows())


def uris_of(path: str, **options: str) -> list[str]:
    return [row.uri for row in rows_of(path, **options)]


def refusal(path: str, **options: str) -> str:
    with pytest.raises(UsageError) as refused:
        rows_of(path, **options)
    return str(refused.value)


@pytest.mark.parametrize("name", ["l.csv", "l.tsv"])
def test_a_long_field_is_no_obstacle(written: Written, name: str) -> None:
    separator = "," if name == "l.csv" else "\t"
    path = written(name, f"uri{separator}vector\na.png{separator}{'0.5 ' * 100_000}\n")
    assert len(uris_of(path)) == 1


FORMATS = {
    "l.txt": "a.jpg\n\ns3://b/x y#1.jpg\n",
    "windows.txt": b"\xef\xbb\xbfa.jpg\r\ns3://b/x y#1.jpg\r\n",
    "no end.TXT": "a.jpg\ns3://b/x y#1.jpg",
    "l.csv": 'n,uri\n1,a.jpg\n\n"2","s3://b/x y#1.jpg"\n',
    "windows.csv": b'\xef\xbb\xbfuri,"a, b"\r\na.jpg,"1\r\n2"\r\ns3://b/x y#1.jpg,\r\n',
    "l.tsv": "uri\tn\na.jpg\t1\ns3://b/x y#1.jpg\t2\n",
    "l.jsonl": '{"uri": "a.jpg"}\n\n{"n": 1, "uri": "s3://b/x y#1.jpg"}\n',
    "l.ndjson": '{"uri": "a.jpg", "url": 5}\n{"uri": "s3://b/x y#1.jpg"}',
    "l.csv.gz": gzip.compress(b"uri\na.jpg\n") + gzip.compress(b"s3://b/x y#1.jpg\n"),
    "gzip under another name.jsonl": gzip.compress(b'{"uri":"a.jpg"}\n{"uri":"s3://b/x y#1.jpg"}\n'),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_names_the_same_images(written: Written, tmp_path: Path, name: str) -> None:
    rows = rows_of(written(name, FORMATS[name]))
    assert [row.uri for row in rows] == [f"file://{tmp_path}/a.jpg", "s3://b/x y#1.jpg"]
    assert rows[0] == ManifestRow(image_id(rows[0].uri), rows[0].uri, UNKNOWN_SIZE, "")


@pytest.mark.parametrize("column", ["url", "path", "file_name", "image"])
def test_a_column_with_a_usual_name_is_found(written: Written, tmp_path: Path, column: str) -> None:
    assert uris_of(written("l.csv", f"n,{column}\n1,a.jpg\n")) == [f"file://{tmp_path}/a.jpg"]
    assert uris_of(written("l.csv", f"uri,{column}\nb.jpg,a.jpg\n")) == [f"file://{tmp_path}/b.jpg"]


def parquet(path: Path, **columns: pa.Array) -> str:
    pq.write_table(pa.table(columns), path, row_group_size=2)
    return str(path)


def test_a_parquet_list_keeps_values_as_json(tmp_path: Path) -> None:
    path = parquet(
        tmp_path / "l.parquet",
        uri=pa.array(["a.jpg", "b.jpg", "c.jpg"]).dictionary_encode(),
        key=pa.array([7, 8, 9]),
        taken=pa.array([datetime(2026, 1, 2, 3, tzinfo=UTC), None, None]),
        day=pa.array([date(2026, 1, 2), None, None]),
        price=pa.array([Decimal("1.10"), None, None]),
        score=pa.array([0.5, float("nan"), float("inf")]),
        tags=pa.array([["ü", "b"], [], None]),
        box=pa.array([{"x": 1}, {"x": 2}, None]),
        data=pa.array([b"1", b"2", b"3"]),
    )
    kept = "taken,day, price,score,tags,box"
    rows = rows_of(path, uri_column="uri", id_column="key", keep_columns=kept)
    assert [row.source_id for row in rows] == ["7", "8", "9"]
    assert [row.image_id for row in rows] == [image_id("7"), image_id("8"), image_id("9")]
    first, second, third = (json.loads(row.extra or "") for row in rows)
    assert first == {
        "taken": "2026-01-02T03:00:00+00:00",
        "day": "2026-01-02",
        "price": "1.10",
        "score": 0.5,
        "tags": ["ü", "b"],
        "box": {"x": 1},
    }
    assert (second["score"], third["score"], third["tags"]) == (None, None, None)
    assert "holds bytes" in refusal(path, uri_column="uri", keep_columns="data")
    assert "'score' of" in refusal(path, uri_column="score")


def test_a_table_with_images_of_its_own_is_a_list_if_a_column_is_named() -> None:
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    of_hub = pa.schema([("image", image), ("caption", pa.string())])
    assert text_columns(of_hub) == ["caption"]
    assert (is_list(of_hub, None), is_list(of_hub, "caption")) == (False, True)
    assert is_list(pa.schema([("uri", pa.large_string())]), None)


WRONG = {
    "empty.txt": ("", "is empty"),
    "blank.csv": ("\n\n", "is empty"),
    "header.csv": ("uri,n\n", "names no image"),
    "other.csv": ("name,n\na,1\n", "none of the columns uri, url, path, file_name, image.*are 'name', 'n'"),
    "two.csv": ("url,path\na,b\n", "url and path; name the column"),
    "twice.csv": ("uri,uri\na,b\n", "two columns 'uri'"),
    "short.csv": ("uri,n\na,1\nb\n", "line 3 names no image .it has 1 fields, but the header has 2"),
    "quote.csv": ('uri,n\na,"1\n', "cannot be read from line 2 on"),
    "object.jsonl": ('{"uri": "a"}\n["b"]\n{"uri": 5}\n', "line 2 .*not a JSON object.*line 3 .*'uri' is 5"),
    "broken.jsonl": ('{"uri": "a"}\n{"uri": \n', "line 2 names no image .it is not JSON"),
    "deep.jsonl": ('{"uri": "a"}\n' + '{"uri":' * 100_000, "line 2 names no image"),
    "surrogate.jsonl": ('{"uri": "s3://b/\\ud800"}\n', "line 1 names no image"),
    "comment.txt": ("# photos\na.jpg\n", "line 1 names no image .it begins with #"),
    "scheme.txt": ("a.jpg\nhtps://x/a.jpg\n", "line 2 names no image .'htps://x/a.jpg'.* is not a"),
    "folder.txt": ("a/\n", "it names a folder"),
    "bucket.txt": ("s3://b\n", "it names a whole bucket"),
    "secret.txt": ("s3://me:pw@b/a.jpg\n", r"'s3://\*\*\*b/a.jpg'.*contains credentials"),
    "host.txt": ("s3://169.254.169.254/a.jpg\n", "link-local host"),
    "latin.txt": (b"a.jpg\ncaf\xe9.jpg\n", "line 2 of .* is not UTF-8"),
    "utf-16.csv": ("uri\na\n".encode("utf-16"), "it is UTF-16 text; save it as UTF-8"),
    "zip.csv": (b"PK\x03\x04....", "it is a ZIP archive"),
    "binary.txt": (b"a\0b", "it is no text"),
    "table.txt": ("uri,n\na,1\n", "it is CSV with a header; pass --input-format csv"),
    "json.txt": ('{"uri": "a"}\n', "it is JSON lines; pass --input-format jsonl"),
    "csv.jsonl": ("uri,n\na,1\n", "not one JSON object per line; pass --input-format csv"),
    "no.parquet": (b"uri\na", "it is no Parquet file"),
    "cut.parquet": (b"PAR1 and no footer", "cannot be read as Parquet"),
    "broken.csv.gz": (b"\x1f\x8b" + b"junk" * 99, r"cannot be unpacked \(.*\); copy the list again"),
    "cut.txt.gz": (gzip.compress(np.random.default_rng(0).bytes(9000).hex().encode())[:8000], "be unpacked"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_list_that_is_wrong_is_refused_in_a_sentence(written: Written, name: str) -> None:
    content, sentence = WRONG[name]
    said = refusal(written(name, content))
    assert re.search(sentence, said), said
    assert "\n" not in said
    assert len(said) < 1000


def test_many_wrong_lines_are_counted(written: Written) -> None:
    said = refusal(written("l.txt", "s3://\n" * 1000 + "a.jpg\n"))
    assert "line 3 names" in said
    assert "and 997 more; correct the list" in said
    assert "line 4 " not in said


def test_columns_that_are_asked_for_must_be_there(written: Written) -> None:
    path = written("l.csv", "uri,split\na,train\n")
    assert "no column 'splitt'; did you mean split?; its columns are" in refusal(path, keep_columns="splitt")
    assert "no column 'key'" in refusal(path, id_column="key")
    assert "no column 'link'" in refusal(path, uri_column="link")
    assert "has no columns" in refusal(written("l.txt", "a.jpg\n"), keep_columns="split")
    long = written("long.csv", f"uri,split\na,{'x' * 70_000}\n")
    assert "more than the 64 kB" in refusal(long, keep_columns="split")
    assert "--keep-columns is only for a list" in refusal(str(Path(path).parent), keep_columns="split")


def test_an_image_that_is_named_twice_is_taken_once_and_counted(written: Written, tmp_path: Path) -> None:
    path = written("l.csv", f"uri,n\na.jpg,1\nb.jpg,2\n./a.jpg,3\nfile://{tmp_path}/a.jpg,4\n")
    source = Source.at(path, SourceOptions(keep_columns="n"))
    rows = list(source.unique_rows())
    assert [(row.uri[-5:], json.loads(row.extra or "")) for row in rows] == [
        ("a.jpg", {"n": "1"}),
        ("b.jpg", {"n": "2"}),
    ]
    assert source.repeated == 2


def test_an_id_has_one_image_and_an_image_one_id(written: Written) -> None:
    said = refusal(written("ids.csv", "uri,key\na,x\nb,y\nc,x\nd,y\n"), id_column="key")
    assert "has the id 'x' in line 2 and again in line 4 (and 1 more are repeated)" in said
    said = refusal(written("uris.csv", "uri,key\na,x\nb,y\na,z\n"), id_column="key")
    assert "has the image 'a' in line 2 and again in line 4" in said
    for value in ("null", "1.5", "true", '""'):
        path = written("l.jsonl", f'{{"uri": "a", "key": {value}}}\n')
        assert "neither text nor a whole number" in refusal(path, id_column="key")


def test_repeats_are_found_on_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = np.random.default_rng(0).integers(0, 60, 100).tolist()
    expected = [(names.index(name), line) for line, name in enumerate(names) if names.index(name) != line]
    for lines_at_once in (30, 1000):
        monkeypatch.setattr(repeats, "LINES_AT_ONCE", lines_at_once)
        folder = tmp_path / str(lines_at_once)
        folder.mkdir()
        found = Repeats(folder)
        for line, name in enumerate(names):
            found.add(bytes.fromhex(image_id(str(name))), line)
        assert sorted(found.found(), key=lambda pair: pair[1]) == expected
        assert len(list(folder.iterdir())) == (64 if lines_at_once == 30 else 0)


@pytest.mark.parametrize(
    ("folder", "text", "uri"),
    [
        ("/photos", "a b%20#?.jpg", "file:///photos/a b%20#?.jpg"),
        ("/photos", "../x/./a.jpg", "file:///x/a.jpg"),
        ("/photos", "~/a.jpg", "file:///photos/~/a.jpg"),
        ("/photos", "//a.jpg", "file:///a.jpg"),
        ("/", "a.jpg", "file:///a.jpg"),
        ("/photos", "file://localhost/caf%E9.jpg", "file://localhost/caf%E9.jpg"),
        ("/photos", "S3://b//x/../a", "s3://b//x/../a"),
        ("s3://b", "a.jpg", "s3://b/a.jpg"),
        ("s3://b/x/y", "../a.jpg", "s3://b/x/a.jpg"),
        ("s3://b/x", "gs://c/a::b.jpg", "gs://c/a::b.jpg"),
    ],
)
def test_a_path_starts_at_the_folder_of_its_list(folder: str, text: str, uri: str) -> None:
    assert ListPlace(location(folder)).uri(text) == uri


@pytest.mark.parametrize("text", ["/etc/passwd", "file:///etc/passwd", "FILE:///etc/x", "../../a.jpg", ".."])
def test_a_list_in_a_bucket_names_no_file_of_the_workers_and_stays_in_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"workers would look|leads out of s3://b"):
        ListPlace(location("s3://b/x")).uri(text)


def test_a_list_names_no_image_in_the_output(written: Written, tmp_path: Path) -> None:
    path = written("l.txt", "out/a.jpg\noutside.jpg\n")
    with pytest.raises(UsageError, match=r"line 1 names no image .'out/a.jpg': it is inside the output"):
        list(Source.of(RunConfig(input=path, output=str(tmp_path / "out"))).rows())


def test_standard_input_is_a_list_from_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"uri": "a.jpg"}\n')))
    source = Source.at("-", SourceOptions(input_format="jsonl"))
    assert [row.uri for row in source.rows()] == [f"file://{tmp_path}/a.jpg"]
    assert [row.uri for row in source.rows()] == [f"file://{tmp_path}/a.jpg"]
    assert str(source.location) == "file:///dev/stdin"
    assert source.root is None


def test_an_image_called_like_a_list_is_an_image(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.txt", "PNG")
    assert Source.at(str(tmp_path / "a.txt")).image_list is None
    (tmp_path / "photos").write_text("a.jpg\n")
    assert uris_of(str(tmp_path / "photos"), input_format="txt") == [f"file://{tmp_path}/a.jpg"]


def test_a_table_that_is_replaced_while_it_is_read_is_refused(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0)
    uris = pa.array([f"s3://b/{numbers.bytes(20).hex()}.jpg" for _ in range(20_000)])
    path = tmp_path / "l.parquet"
    pq.write_table(pa.table({"uri": uris}), path, row_group_size=2000)
    rows = Source.at(str(path)).rows()
    next(rows)
    pq.write_table(pa.table({"uri": uris[::-1]}), tmp_path / "new", row_group_size=2000)
    (tmp_path / "new").replace(path)
    with pytest.raises(UsageError, match="was changed while it was read"):
        list(rows)


def test_a_small_table_of_long_values_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "l.parquet"
    write_one_long_value(path, "uri", "/" + "a" * (20 << 20), rows=300)
    pool = pa.default_memory_pool()
    before = pool.max_memory()
    with pytest.raises(UsageError, match=r"rows of \S+ from 0 on are longer than 16 MB"):
        next(Source.at(str(path)).rows())
    assert pool.max_memory() <= max(before, 1 << 30)
