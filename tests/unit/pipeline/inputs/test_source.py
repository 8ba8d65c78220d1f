"""Which files of a real folder a listing includes and leaves out."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from pipeline.errors import UsageError
from pipeline.inputs.options import SourceOptions
from pipeline.inputs.source import Source
from pipeline.output.format.manifest import image_id
from pipeline.store.storage import Store
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
    assert source.skipped_files == 3, "hidden ones are not counted"


def test_a_hidden_folder_is_not_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    png_into(tmp_path / "a.png")
    png_into(tmp_path / ".Trash-0" / "b.png")

    def scandir(folder: Path) -> Iterator[os.DirEntry[str]]:
        if ".Trash-0" in str(folder):
            raise PermissionError(13, "Permission denied")  # root would never get this error
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


def test_markers_are_left_out_and_an_empty_file_with_an_images_name_is_not(tmp_path: Path) -> None:
    png_into(tmp_path / "a.png")
    for name in ("_SUCCESS", "part_$folder$", "sub.png"):
        (tmp_path / name).touch()
    source = Source.at(str(tmp_path))
    assert [row.uri.rpartition("/")[2] for row in source.rows()] == ["a.png", "sub.png"]
    assert source.skipped_files == 2


def test_one_file_is_taken_whatever_its_name(tmp_path: Path) -> None:
    path = png_into(tmp_path / "a.txt")
    assert [row.uri for row in Source.at(f"file://{path}").rows()] == [f"file://{path}"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("list.json", "a list ends in .txt, .csv, .tsv, .jsonl or .parquet"),
        ("list.xml", "a list ends in"),
        ("data.arrow", "Arrow files are not read: save the data set as Parquet"),
        ("photos.zip", "only .tar, .tar.gz and .tgz archives are read: unpack it and name the folder"),
        ("photos.tar.xz", "only .tar, .tar.gz and .tgz archives are read"),
        ("film.mp4", "name an image, or a folder that holds images"),
    ],
)
def test_a_file_of_another_kind_as_input_says_what_to_do_instead(
    tmp_path: Path, name: str, sentence: str
) -> None:
    (tmp_path / name).write_bytes(b"no image")
    with pytest.raises(UsageError, match=f"{name} is not an image; {sentence}"):
        Source.at(str(tmp_path / name))


def test_a_slash_at_the_end_means_a_folder(tmp_path: Path) -> None:
    png_into(tmp_path / "in" / "a.png")
    assert listed(tmp_path / "in") == ["a.png"]
    assert [row.uri for row in Source.at(f"{tmp_path}/in/").rows()] == [f"file://{tmp_path}/in/a.png"]
    with pytest.raises(UsageError, match="there is no file or folder"):
        Source.at(f"{tmp_path}/in/a.png/")


def test_the_root_of_the_disk_is_a_folder() -> None:
    assert Source.at("/").root == "/"


class Links:
    """A folder `in` with links of every kind; `out` and `more` lie beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "in"
        png_into(self.folder / "z" / "a.png")
        png_into(folder / "out" / "b.png")
        png_into(folder / "out" / "deep" / "c.png")
        png_into(folder / "more" / "d.png")
        png_into(self.folder / ".blobs" / "e.png")
        (folder / "notes.txt").touch()
        for name, target in {
            "again": "z",  # a folder that is listed anyway
            "away.png": "../more/d.png",
            "broken.png": "nowhere.png",
            "deeper": "../out/deep",  # once more below `outside`
            "gone.png": "../gone.png",
            "hidden": ".blobs",
            "hidden.png": ".blobs/e.png",
            "inside.png": "z/a.png",
            "itself.png": "itself.png",
            "notes.txt": "../notes.txt",
            "outside": "../out",
            "up": "..",
        }.items():
            (self.folder / name).symlink_to(target)
        (folder / "out" / "circle").symlink_to("../more")
        (folder / "more" / "circle").symlink_to("../out")


def test_links_that_lead_out_are_left_out_and_counted(tmp_path: Path) -> None:
    links = Links(tmp_path)
    assert listed(links.folder) == ["broken.png", "hidden.png", "inside.png", "itself.png", "z/a.png"]
    source = Source.at(str(links.folder))
    list(source.rows())
    assert source.root == str(links.folder)
    assert source.skipped_links == 6, "away.png, deeper, gone.png, hidden, outside, up"
    assert source.skipped_files == 1, "notes.txt"


def test_links_are_followed_on_request_and_each_folder_is_listed_once(tmp_path: Path) -> None:
    links = Links(tmp_path)
    source = Source.at(str(links.folder), SourceOptions(follow_links=True))
    assert [row.uri.removeprefix(f"file://{links.folder}/") for row in source.rows()] == [
        "away.png",
        "broken.png",
        "deeper/c.png",
        "gone.png",
        "hidden.png",
        "hidden/e.png",
        "inside.png",
        "itself.png",
        "outside/b.png",
        "outside/circle/d.png",
        "z/a.png",
    ]
    assert (source.root, source.skipped_links) == (None, 0)
    assert source.skipped_files == 2, "notes.txt, through `up` as well"


def test_the_layout_of_hugging_faces_cache(tmp_path: Path) -> None:
    blob = png_into(tmp_path / "blobs" / "2f9c")
    snapshot = tmp_path / "snapshots" / "1" / "train"
    snapshot.mkdir(parents=True)
    (snapshot / "a.png").symlink_to(blob)
    with pytest.raises(UsageError, match=r"links out of it: 1\); pass --follow-links"):
        Source.at(str(snapshot)).require_images()
    (row,) = Source.at(str(snapshot), SourceOptions(follow_links=True)).rows()
    assert (row.uri, row.size) == (f"file://{snapshot}/a.png", blob.stat().st_size)


def test_no_such_input(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no file or folder .*photoz"):
        Source.at(str(tmp_path / "photoz"))


def test_no_image_in_it(tmp_path: Path) -> None:
    (tmp_path / "README.md").touch()
    with pytest.raises(
        UsageError, match=r"no image was found in .* \(other files: 1, links out of it: 0\); name"
    ):
        Source.at(str(tmp_path)).require_images()


def test_a_name_that_is_not_utf_8_has_a_uri_that_opens_again(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    image = png_into(folder / os.fsdecode(b"100% \xff.png"))
    png_into(tmp_path / "caf%E9" / "100%25 %FF.png")
    encoded, plain = sorted(Source.at(str(tmp_path)).rows(), key=lambda row: "///" in row.uri)
    assert plain.uri == f"file://{tmp_path}/caf%E9/100%25 %FF.png"
    assert encoded.uri == f"file://localhost{tmp_path}/caf%E9/100%25%20%FF.png"
    store, name = Store.of_uri(encoded.uri)
    assert store.read(name) == image.read_bytes()
    assert list(Source.at(encoded.uri).rows()) == [encoded]
    assert list(Source.at(str(folder)).rows()) == [encoded]
    assert location(str(Source.at(str(folder)).location)) == location(str(folder))


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
        ("s3://b/in", "s3://b/in/", True),
        ("s3://b/in/", "s3://b", True),
        ("S3://b/in", "s3://b/in", True),
        ("s3://b/in", "s3://b/IN", False),
        ("s3://b", "s3://bb/in", False),
        ("/b/in", "s3://b/in", False),
        ("/", "/a", True),
        ("/a", "/", True),
        ("/", "/", True),
        ("file:///", "/a/", True),
        ("/", "s3://b", False),
        ("/a/", "/a/out/", True),
        ("/a//in", "/a", True),
    ],
)
def test_input_and_output_are_kept_apart(source: str, output: str, is_refused: bool) -> None:
    if is_refused:
        with pytest.raises(UsageError, match="inside the other"):
            refuse_overlap(location(source), location(output))
    else:
        refuse_overlap(location(source), location(output))


def test_a_link_does_not_hide_an_overlap(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    with pytest.raises(UsageError, match="inside the other"):
        refuse_overlap(location(str(tmp_path / "photos")), location(str(tmp_path / "link" / "out")))
    with pytest.raises(UsageError, match="inside the other"):
        refuse_overlap(location(str(tmp_path / "link")), location(str(tmp_path / "photos" / "out" / "new")))
    (tmp_path / "itself").symlink_to("itself")
    refuse_overlap(location(str(tmp_path / "photos")), location(str(tmp_path / "itself")))


def test_a_disk_that_ignores_case_does_not_hide_an_overlap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photos").mkdir()
    real_samefile = Path.samefile

    def samefile(one: Path, other: Path) -> bool:
        return real_samefile(Path(str(one).lower()), Path(str(other).lower()))

    monkeypatch.setattr(Path, "samefile", samefile)
    with pytest.raises(UsageError, match="inside the other"):
        refuse_overlap(location(str(tmp_path / "photos")), location(str(tmp_path / "Photos" / "out")))
