"""What a listing takes and leaves, on a real folder."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from pipeline.errors import UsageError
from pipeline.images.source import Source
from pipeline.output.format.manifest import image_id
from pipeline.store.uri import location, refuse_overlap

NAMES = [
    "a.jpg",
    "b c.JPG",
    "100%.png",
    "nu#mber.webp",
    "line\nbreak.gif",
    "ünï.tiff",
    "u\u0308.bmp",
    "[x]*?.jpeg",
]


def png_into(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path, "PNG")
    return path


def listed(folder: Path) -> list[str]:
    return [row.uri.removeprefix(f"file://{folder}/") for row in Source.at(str(folder)).rows()]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_any_kind_pass_through(tmp_path: Path, name: str) -> None:
    path = png_into(tmp_path / "sub" / name)
    (row,) = Source.at(str(tmp_path)).rows()
    assert row.uri == f"file://{path}"
    assert row.image_id == image_id(row.uri)
    assert row.size == path.stat().st_size


def test_equal_names_in_two_folders_are_two_images(tmp_path: Path) -> None:
    png_into(tmp_path / "one" / "a.png")
    png_into(tmp_path / "two" / "a.png")
    assert len({row.image_id for row in Source.at(str(tmp_path)).rows()}) == 2


def test_names_that_say_image_are_taken_at_their_word(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("not an image")
    assert listed(tmp_path) == ["text.jpg"]


def test_what_stands_beside_images_is_left_out_and_counted(tmp_path: Path) -> None:
    png_into(tmp_path / "a.png")
    for name in ("README.txt", "a.json", "masks.parquet", ".hidden.png", ".cache/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((tmp_path / "a.png").read_bytes())
    source = Source.at(str(tmp_path))
    assert [row.uri for row in source.rows()] == [f"file://{tmp_path}/a.png"]
    assert source.skipped == 3, "hidden ones are not counted"


def test_a_hidden_folder_is_not_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    png_into(tmp_path / "a.png")
    png_into(tmp_path / ".Trash-0" / "b.png")

    def scandir(folder: Path) -> Iterator[os.DirEntry[str]]:
        if ".Trash-0" in str(folder):
            raise PermissionError(13, "Permission denied")  # which root, who may run this test, is never told
        return real_scandir(folder)

    real_scandir = os.scandir
    monkeypatch.setattr(os, "scandir", scandir)
    assert listed(tmp_path) == ["a.png"]


def test_other_names_are_asked_for_their_content(tmp_path: Path) -> None:
    png_into(tmp_path / "no_extension")
    png_into(tmp_path / "photo.original")
    (tmp_path / "notes").write_text("hello")
    (tmp_path / "empty").touch()
    (tmp_path / "photo.from_phone").write_bytes(b"\0\0\0\x18ftypheic")
    assert listed(tmp_path) == ["no_extension", "photo.from_phone", "photo.original"]


def test_one_file_is_taken_whatever_its_name(tmp_path: Path) -> None:
    path = png_into(tmp_path / "a.txt")
    assert [row.uri for row in Source.at(f"file://{path}").rows()] == [f"file://{path}"]


def test_links_to_files_are_listed_and_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    outside = png_into(tmp_path / "outside" / "o.png")
    png_into(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "link.png").symlink_to(outside)
    (tmp_path / "in" / "broken.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in", target_is_directory=True)
    (tmp_path / "in" / "itself.png").symlink_to("itself.png")
    assert listed(tmp_path / "in") == ["a.png", "broken.png", "itself.png", "link.png"]


def test_no_such_input(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no file or folder .*photoz"):
        Source.at(str(tmp_path / "photoz"))


def test_no_image_in_it(tmp_path: Path) -> None:
    (tmp_path / "README.md").touch()
    with pytest.raises(UsageError, match=r"no image was found in .* \(1 other files\)"):
        Source.at(str(tmp_path)).require_images()


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.jpg")).write_bytes(b"x")
    with pytest.raises(UsageError, match="not valid UTF-8"):
        Source.at(str(tmp_path)).require_images()


@pytest.mark.parametrize(
    ("source", "output", "is_refused"),
    [
        ("/a", "/a", True),
        ("/a", "/a/out", True),
        ("/a/in", "/a", True),
        ("/a", "/ab", False),
        ("/a/in", "/a/out", False),
        ("s3://b/in", "s3://b/in/out", True),
        ("s3://b/in", "s3://b/out", False),
        ("s3://b", "s3://b/out", True),
        ("/b/in", "s3://b/in", False),
    ],
)
def test_input_and_output_are_kept_apart(source: str, output: str, is_refused: bool) -> None:
    if is_refused:
        with pytest.raises(UsageError, match="inside each other"):
            refuse_overlap(location(source), location(output))
    else:
        refuse_overlap(location(source), location(output))


def test_a_link_does_not_hide_an_overlap(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    with pytest.raises(UsageError, match="inside each other"):
        refuse_overlap(location(str(tmp_path / "photos")), location(str(tmp_path / "link" / "out")))
    (tmp_path / "itself").symlink_to("itself")
    refuse_overlap(location(str(tmp_path / "photos")), location(str(tmp_path / "itself")))
