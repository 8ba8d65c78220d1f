"""A file's frames become rows, and each row decodes to its frame: against Pillow and tifffile."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from heic import heic
from PIL import Image

from pipeline.config import RunConfig
from pipeline.errors import ImageError, Reason
from pipeline.export.images import upright_file
from pipeline.export.record import Record
from pipeline.images.decode import decoded_image
from pipeline.images.fetch import FetchSettings, fetched
from pipeline.images.frame import MOST_FRAMES, frame_of
from pipeline.inputs.source import Source
from pipeline.output.format.manifest import ManifestRow
from pipeline.pixel_reading import PixelReading
from pipeline.store.settings import DEFAULT_ACCESS

SETTINGS = FetchSettings(None, DEFAULT_ACCESS, max_pixels=1_000_000)
COLOURS = ["red", "lime", "blue", "white", "yellow"]


def animation(name: str, **options: Any) -> bytes:
    file = io.BytesIO()
    frames = [Image.new("RGB", (16, 16), colour) for colour in COLOURS]
    frames[0].save(file, name, save_all=True, append_images=frames[1:], duration=50, **options)
    return file.getvalue()


FILES = {
    "a.gif": animation("GIF"),
    "a.png": animation("PNG"),
    "d.png": animation("PNG", default_image=True),
    "a.webp": animation("WEBP", lossless=True),
    "a.avif": animation("AVIF", quality=100, subsampling="4:4:4"),
    "a.tif": animation("TIFF"),
    "a.heic": heic(
        *(Image.new("RGB", (16, 16), colour) for colour in COLOURS), quality=-1, chroma=444, thumbnails=[8]
    ),
}


def rows(folder: Path, frames: str) -> list[ManifestRow]:
    config = RunConfig(input=str(folder), output=str(folder / "out"), frames=frames)
    return list(Source.of(config).rows())


def names(folder: Path, frames: str) -> list[str]:
    return [row.uri.rpartition("/")[2] for row in rows(folder, frames)]


@pytest.mark.parametrize("name", FILES)
def test_each_frame_is_decoded_as_viewers_show_it(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(FILES[name])
    listed = rows(tmp_path, "all")
    assert [frame_of(row.uri) for row in listed] == [0, 1, 2, 3, 4]
    for row, colour in zip(listed, COLOURS, strict=True):
        got = fetched(row._asdict(), SETTINGS)
        assert (got.data, got.etag) == (FILES[name], row.etag)
        decoded = decoded_image(got.data, 256, frame=frame_of(row.uri))
        expected = np.asarray(Image.new("RGB", (16, 16), colour))
        assert np.abs(decoded.image_HW3.astype(int) - expected).max() <= 2, "AVIF rounds"
        assert decoded.frames == 5


def test_which_frames(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(FILES["a.gif"])
    (tmp_path / "one.png").write_bytes(b"\x89PNG\r\n\x1a\n cut off")
    (tmp_path / "photo.jpg").write_bytes(FILES["a.gif"])  # its name says one frame
    assert names(tmp_path, "first") == ["a.gif", "one.png", "photo.jpg"]
    assert names(tmp_path, "every 2") == [f"a.gif#frame={n}" for n in (0, 2, 4)] + ["one.png", "photo.jpg"]
    assert len({row.image_id for row in rows(tmp_path, "all")}) == 7


def test_frames_are_drawn_over_what_is_there() -> None:
    """The second frame changes one corner and keeps the rest."""
    first, second = Image.new("P", (8, 8), 0), Image.new("P", (8, 8), 0)
    palette = [200, 0, 0, 0, 0, 200] + [0] * 762
    first.putpalette(palette)
    second.putpalette(palette)
    second.paste(1, (0, 0, 4, 4))
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=[second])
    image_HW3 = decoded_image(file.getvalue(), 64, frame=1).image_HW3
    assert image_HW3[0, 0].tolist() == [0, 0, 200]
    assert image_HW3[7, 7].tolist() == [200, 0, 0]


def test_pages_of_any_type_but_no_overviews_and_masks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pages = [rng.integers(0, 4096, (9, 7 + n)).astype(np.uint16) for n in range(3)]
    with tifffile.TiffWriter(tmp_path / "stack.tif", bigtiff=True) as file:
        for page in pages:
            file.write(page, photometric="minisblack")
            file.write(page[::2, ::2], photometric="minisblack", subfiletype=1)
            file.write(page.astype(bool), subfiletype=4)
    listed = rows(tmp_path, "all")
    assert [frame_of(row.uri) for row in listed] == [0, 3, 6]
    for row, page in zip(listed, pages, strict=True):
        data = fetched(row._asdict(), SETTINGS).data
        decoded = decoded_image(data, 1000, PixelReading("0:255"), frame_of(row.uri))
        np.testing.assert_array_equal(decoded.image_HW3[:, :, 0], np.minimum(page, 255))
        assert decoded.frames == 9


@pytest.mark.parametrize("name", FILES)
def test_a_frame_that_is_not_there(name: str) -> None:
    with pytest.raises(ImageError, match="no frame 5"):
        decoded_image(FILES[name], 256, frame=5)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_ends_early_is_listed(tmp_path: Path, name: str) -> None:
    for size in (13, 40, len(FILES[name]) // 2, len(FILES[name]) - 3):
        (tmp_path / name).write_bytes(FILES[name][:size])
        assert 1 <= len(rows(tmp_path, "all")) <= 5


def test_what_a_gif_that_ends_early_still_holds_is_listed(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(FILES["a.gif"][:-4])
    listed = rows(tmp_path, "all")
    assert [frame_of(row.uri) for row in listed] == [0, 1, 2, 3, 4]
    data = fetched(listed[0]._asdict(), SETTINGS).data
    assert decoded_image(data, 256, frame=3).image_HW3[0, 0].tolist() == [255, 255, 255]
    with pytest.raises(ImageError):
        decoded_image(data, 256, frame=4)


def test_frames_of_one_file_are_no_duplicates_of_each_other(tmp_path: Path) -> None:
    for name in ("a.gif", "b.gif"):
        (tmp_path / name).write_bytes(FILES["a.gif"])
    (tmp_path / "c.gif").write_bytes(FILES["a.gif"] + b" ")
    config = RunConfig(input=str(tmp_path), output=str(tmp_path / "out"), frames="all", deduplicate=True)
    source = Source.of(config)
    taken = [row.uri.rpartition("/")[2] for row in source.rows()]
    assert sorted(taken) == [f"{name}#frame={n}" for name in ("a.gif", "c.gif") for n in range(5)]
    firsts = {row.image_id: row.uri for row in rows(tmp_path, "all")}
    pairs = {(duplicate.uri, firsts[duplicate.image_id]) for duplicate in source.duplicates()}
    of_file = f"file://{tmp_path}/"
    assert pairs == {(f"{of_file}b.gif#frame={n}", f"{of_file}a.gif#frame={n}") for n in range(5)}


def test_a_million_frames_become_one_failed_row_more(tmp_path: Path) -> None:
    header = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0)
    frame = b"," + bytes(4) + struct.pack("<HHB", 1, 1, 0) + b"\x02\x02D\x01\0"
    (tmp_path / "bomb.gif").write_bytes(header + frame * 1_000_000 + b";")
    listed = rows(tmp_path, "every 50000")
    assert [frame_of(row.uri) for row in listed] == [0, 50_000, MOST_FRAMES]
    with pytest.raises(ImageError, match="split it into several") as caught:
        fetched(listed[-1]._asdict(), SETTINGS)
    assert caught.value.reason is Reason.TOO_LARGE


def test_a_frame_is_exported_alone(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(FILES["a.gif"])
    row = rows(tmp_path, "all")[2]
    unneeded: Any = None
    name = "a.gif#frame=2"
    record = Record(1, name, name, row.image_id, row.uri, row.etag, 1, unneeded, unneeded, 0, "")
    data, suffix = upright_file(record, fetched(row._asdict(), SETTINGS), PixelReading())
    assert suffix == ".png"
    assert Image.open(io.BytesIO(data)).getpixel((0, 0)) == (0, 0, 255)
