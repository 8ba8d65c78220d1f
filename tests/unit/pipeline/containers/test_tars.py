"""Images in tars, sound and broken, on a disk."""

import gzip
import io
import logging
import tarfile
from pathlib import Path

import pytest
from boxes import SETTINGS, images_of, png, reason_of, tar_into, together

from pipeline.containers import window_file
from pipeline.errors import Reason, UsageError
from pipeline.images.fetch import fetched
from pipeline.inputs.source import Source

IMAGES = [("a.png", png(1)), ("sub/b.png", png(2)), ("c.png", png(3))]
KINDS = [("x.tar", "w"), ("x.tar.gz", "w:gz"), ("x.TGZ", "w:gz")]


@pytest.fixture(params=KINDS, ids=lambda kind: kind[0])
def kind(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param


def broken(data: bytes, start: int, count: int = 512) -> bytes:
    return data[:start] + b"\xff" * count + data[start + count :]


def listed(path: Path) -> tuple[list[str], Source]:
    source = Source.at(str(path))
    return [row.uri.partition("#")[2] for row in source.rows()], source


def test_each_image_by_itself_and_in_a_block(tmp_path: Path, kind: tuple[str, str]) -> None:
    path = tar_into(tmp_path / kind[0], IMAGES, kind[1])
    assert images_of(path) == dict(IMAGES)
    assert {part: got.data for part, got in together(path).items()} == dict(IMAGES)
    row = next(iter(Source.at(str(path)).rows()))
    assert row.uri == f"file://{path}#a.png"
    assert (row.size, row.offset) == (len(png(1)), 512)


def test_a_reader_needs_the_uri_and_the_etag_alone(tmp_path: Path, kind: tuple[str, str]) -> None:
    path = tar_into(tmp_path / kind[0], IMAGES, kind[1])
    row = list(Source.at(str(path)).rows())[1]
    assert fetched({"uri": row.uri, "etag": row.etag, "size": 0}, SETTINGS).data == png(2)
    only_named = fetched({"uri": row.uri, "etag": "", "size": -1}, SETTINGS)
    assert (only_named.data, only_named.etag) == (png(2), row.etag)
    missing = {"uri": f"file://{path}#none.png", "etag": "", "size": -1}
    assert reason_of(missing) is Reason.SOURCE_MISSING


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_are_only_names(tmp_path: Path, form: int) -> None:
    names = ["../../up.png", "/etc/root.png", f"{'long' * 60}/ü.png", "./dot/d.png", "a#b.png", "i.tar#j.png"]
    path = tar_into(tmp_path / "x.tar", [(name, png(5)) for name in names], format=form)
    parts, _ = listed(path)
    assert set(parts) == {*names[:3], "dot/d.png", *names[4:]}
    assert set(images_of(path).values()) == {png(5)}
    assert list(tmp_path.rglob("*")) == [path]


def test_what_is_no_image_is_left_out_and_counted(tmp_path: Path, kind: tuple[str, str]) -> None:
    others = [("a.json", b"{}"), ("a.txt", b"text"), ("inner.tar", bytes(1024)), ("note", b"x" * 600)]
    path = tar_into(
        tmp_path / kind[0], [*others, ("no_suffix", png(7)), ("._a.png", b"mac"), *IMAGES], kind[1]
    )
    parts, source = listed(path)
    assert parts == ["no_suffix", *dict(IMAGES)]
    assert (source.left_out.others, source.left_out.damages) == (len(others), 0)


def test_links_devices_and_holes_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tar_into(tmp_path / "x.tar", IMAGES)
    kinds = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE]
    with tarfile.open(path, "a") as tar:
        for number, type_ in enumerate([*kinds, tarfile.DIRTYPE]):
            info = tarfile.TarInfo(f"{number}.png")
            info.type, info.linkname = type_, "/etc/passwd"
            tar.addfile(info)
    parts, source = listed(path)
    assert parts == list(dict(IMAGES))
    assert source.left_out.others == len(kinds)


def test_of_one_name_the_last_counts(tmp_path: Path, kind: tuple[str, str]) -> None:
    path = tar_into(tmp_path / kind[0], [*IMAGES, ("./a.png", png(9))], kind[1])
    assert images_of(path) == {**dict(IMAGES), "a.png": png(9)}
    assert listed(path)[1].left_out.others == 1


@pytest.mark.parametrize("is_compressed", [False, True])
def test_a_broken_header_costs_its_member_alone(
    tmp_path: Path, is_compressed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    data = broken(tar_into(tmp_path / "sound.tar", IMAGES).read_bytes(), 1024)
    path = tmp_path / ("x.tar.gz" if is_compressed else "x.tar")
    path.write_bytes(gzip.compress(data) if is_compressed else data)
    assert images_of(path) == {"a.png": png(1), "c.png": png(3)}
    source = listed(path)[1]
    assert source.left_out.damages == 1
    assert f"{path} is damaged: the header at byte 1024 is broken" in caplog.text
    assert "reading continues at byte 2048" in caplog.text


def test_a_cut_tar_keeps_what_comes_before(tmp_path: Path) -> None:
    path = tar_into(tmp_path / "x.tar", IMAGES)
    path.write_bytes(path.read_bytes()[: 2048 + 512 + 10])
    parts, source = listed(path)
    assert parts == ["a.png", "sub/b.png"]
    assert "ends within the member c.png" in source.left_out.why


def test_a_cut_gzip_is_said_and_its_last_image_fails(tmp_path: Path) -> None:
    noise = [(f"{number}.png", bytes(range(256)) * 40 + bytes([number])) for number in range(200)]
    path = tar_into(tmp_path / "x.tar.gz", noise, "w:gz", compresslevel=1)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    parts, source = listed(path)
    assert 0 < len(parts) < len(noise)
    assert source.left_out.damages == 1
    results = list(together(path).values())
    assert all(result.data == noise[place][1] for place, result in enumerate(results[:-1]))
    assert results[-1].reason is Reason.TRUNCATED


@pytest.mark.parametrize(
    "data",
    [b"", b"no tar" * 1000, bytes(10240), gzip.compress(b"no tar" * 1000, mtime=0)],
    ids=["empty", "text", "zeros", "packed text"],
)
def test_a_tar_without_an_image_is_one_sentence(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / ("x.tar.gz" if data[:1] == b"\x1f" else "x.tar")
    path.write_bytes(data)
    with pytest.raises(UsageError, match=f"no image was found in {path}"):
        listed(path)


def test_archives_joined_as_they_are(tmp_path: Path) -> None:
    first, second = (tar_into(tmp_path / f"{n}.tar", [IMAGES[n]]).read_bytes() for n in (0, 1))
    (tmp_path / "x.tar").write_bytes(first + second)
    assert images_of(tmp_path / "x.tar") == dict(IMAGES[:2])


def header(name: str, size: int, type_: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, type_
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    "hostile",
    [
        header("back.png", -4096),
        header("././@LongLink", 1 << 40, tarfile.GNUTYPE_LONGNAME),
        header("pax", 1 << 40, tarfile.XHDTYPE),
        header("pax", 0, tarfile.XHDTYPE) * 400,
    ],
    ids=["a size below nothing", "a name of a terabyte", "a pax header of a terabyte", "headers of headers"],
)
@pytest.mark.parametrize("is_compressed", [False, True])
def test_sizes_that_lie(tmp_path: Path, hostile: bytes, is_compressed: bool) -> None:
    sound = tar_into(tmp_path / "sound.tar", IMAGES).read_bytes()
    data = sound[:1024] + hostile + sound[1024:]
    path = tmp_path / ("x.tar.gz" if is_compressed else "x.tar")
    path.write_bytes(gzip.compress(data) if is_compressed else data)
    assert images_of(path) == dict(IMAGES)
    assert listed(path)[1].left_out.damages >= 1


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "x.tar.gz"
    with gzip.open(path, "wb", 1) as file:
        file.write(header("bomb.png", 1 << 50) + bytes(1 << 20))
    parts, source = listed(path)
    assert parts == ["bomb.png"]
    assert "would unpack to more than" in source.left_out.why
    assert together(path)["bomb.png"].reason is Reason.TOO_LARGE


def test_a_replaced_tar_is_not_read(tmp_path: Path, kind: tuple[str, str]) -> None:
    path = tar_into(tmp_path / kind[0], IMAGES, kind[1])
    rows = [row._asdict() for row in Source.at(str(path)).rows()]
    tar_into(path, [("other.png", png(8)), *IMAGES], kind[1])
    assert reason_of(rows[0]) is Reason.SOURCE_CHANGED
    path.unlink()
    assert reason_of(rows[0]) is Reason.SOURCE_MISSING


def test_an_object_that_is_named_like_a_part(tmp_path: Path) -> None:
    (tmp_path / "x.tar#a.png").write_bytes(png(4))
    (row,) = Source.at(str(tmp_path)).rows()
    assert fetched(row._asdict(), SETTINGS).data == png(4)
    tar_into(tmp_path / "x.tar", IMAGES)
    assert fetched({"uri": row.uri, "etag": "", "size": -1}, SETTINGS).data == png(1), "the part comes first"


def test_a_folder_is_its_images_or_else_its_archives(tmp_path: Path) -> None:
    tar_into(tmp_path / "1.tar", IMAGES[:1])
    tar_into(tmp_path / "2.tar.gz", IMAGES[1:2], "w:gz")
    assert [row.uri.rpartition("/")[2] for row in Source.at(str(tmp_path)).rows()] == ["1.tar#a.png", "b.png"]
    (tmp_path / "photo.png").write_bytes(png(0))
    source = Source.at(str(tmp_path))
    assert [row.uri for row in source.rows()] == [f"file://{tmp_path}/photo.png"]
    assert source.skipped_files == 2


def test_the_cost_of_compression_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(2):
        tar_into(tmp_path / f"{number}.tgz", IMAGES, "w:gz")
    source = Source.at(str(tmp_path))
    with caplog.at_level(logging.WARNING):
        source.require_images()
        assert len(list(source.rows())) == 6
    assert caplog.text.count("it is unpacked from its start") == 1


def test_a_window_is_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_file, "PIECE", 1000)
    monkeypatch.setattr(window_file, "FAR", 3000)
    monkeypatch.setattr(window_file, "PEEK", 700)
    members = [(f"{number:03}.png", bytes([number]) * (number * 97 % 5000)) for number in range(120)]
    path = tar_into(tmp_path / "x.tar", members)
    assert images_of(path) == dict(members)
    with tarfile.open(fileobj=io.BytesIO(path.read_bytes())) as tar:
        assert [info.offset_data for info in tar] == [row.offset for row in Source.at(str(path)).rows()]
