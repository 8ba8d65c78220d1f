"""`sam-label plan` on a real folder: the counts, the names, and the stream on which each is printed."""

import json
import tarfile
from pathlib import Path

import pytest
from commands import ran
from PIL import Image

from jobs.cli import main


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    (folder / ".cache").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.png", "c.JPG", "line\nbreak.png", ".cache/h.png")):
        Image.new("L", (10 + number, 20), number).save(folder / name, "PNG")
    (folder / "again.png").write_bytes((folder / "a.png").read_bytes())
    (folder / "text.jpg").write_text("no image")
    (folder / "notes.txt").write_text("notes")
    (folder / "_SUCCESS").touch()
    (folder / "out.png").symlink_to("/etc/hostname")
    return folder


def test_counts_types_sizes_and_what_is_left_out(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ran(capsys, "plan", photos, "--json", "--inspect", "--duplicates", "--hidden")
    said, files = (
        json.loads(out),
        [path for path in photos.iterdir() if path.is_file() and not path.is_symlink()],
    )
    assert code == 0
    assert (said["images"], said["types"]) == (6, {".png": 4, ".jpg": 2})
    sizes = sorted(path.stat().st_size for path in files if path.suffix.lower() in (".png", ".jpg"))
    assert said["left_out"] == {"hidden": 1, "empty": 1, "link out of the input": 1, "other file": 1}
    assert said["sizes"]["smallest"] == sizes[0] == len("no image")
    assert said["inspected"]["types"] == {"PNG": 4, "no image": 1}
    assert said["inspected"]["width"] == {"smallest": 10, "median": 11, "largest": 13}
    assert said["inspected"]["unreadable"] == 1
    assert said["duplicates"] == {"contents": 1, "images": 1, "bytes": (photos / "a.png").stat().st_size}
    assert not err


def test_an_image_that_a_list_names_again_counts_once(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos.parent / "list.txt").write_text("in/a.png\nin/b.png\n./in/a.png\nin/a.png\n")
    _, out, _ = ran(capsys, "plan", photos.parent / "list.txt", "--json")
    assert (json.loads(out)["images"], json.loads(out)["left_out"]) == (2, {"repeated in the list": 2})


def test_without_an_output_no_image_lies_in_it(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos.parent / "list.txt").write_text("no OUTPUT/a.png\nin/a.png\n")
    code, out, _ = ran(capsys, "plan", photos.parent / "list.txt")
    assert (code, out[:8]) == (0, "2 images")


def test_names_are_data_and_the_counts_are_not(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, err = ran(capsys, "plan", photos, "--names", "left-out", "--exclude", "*a*.png", "--json")
    left_out = {one["uri"].rpartition("/")[2]: one["why"] for one in map(json.loads, out.splitlines())}
    assert left_out == {
        "_SUCCESS": "empty",
        "a.png": "excluded",
        "again.png": "excluded",
        "line\nbreak.png": "excluded",
        "notes.txt": "other file",
        "out.png": "link out of the input",
    }
    assert "3 images would be taken" in err
    _, out, _ = ran(capsys, "plan", f"{photos}/*.png", "--names", "taken")
    assert out.splitlines() == [
        f"file://{photos}/{name}" for name in ("a.png", "again.png", "b.png", "line\\nbreak.png")
    ]


def test_an_input_without_images_is_an_answer_and_no_input_a_mistake(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran(capsys, "plan", photos, "--include", "*.gif")[1].startswith("no image was found in ")
    assert ran(capsys, "plan", photos / "nope")[0] == 2
    code, _, err = ran(capsys, "plan", photos, photos / "out")
    assert code == 2
    assert "is inside the other" in err


def test_parts_of_a_tar_that_are_no_images_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("notes")
    with tarfile.open(tmp_path / "notes.tar", "w") as tar:
        tar.add(tmp_path / "notes.txt", "notes.txt")
    _, out, _ = ran(capsys, "plan", tmp_path / "notes.tar")
    assert "; other parts of its archives and tables: 1\n" in out
    assert "left out: 1 part of an archive or table" in out


def test_frames_count_under_the_extension_of_their_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = [Image.new("L", (8, 8), shade) for shade in range(3)]
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:])
    assert json.loads(ran(capsys, "plan", tmp_path, "--frames", "all", "--json")[1])["types"] == {".tif": 3}


@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_pattern_that_the_shell_has_replaced(
    command: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command, *map(str, photos.glob("*.png")), "out"])
    err = capsys.readouterr().err
    assert f"quote a pattern, as in sam-label {command} 'photos/*.jpg' masks" in err
    assert "again.png" not in err
    assert err.count("\n") == 1


def test_lists_of_patterns_in_a_job_file(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = tmp_path / "job.toml"
    job.write_text(
        f'input = "{photos}"\noutput = "out"\ninclude = ["a*.png", "b*"]\n[mask]\npoints_per_side = 4\n'
    )
    assert json.loads(ran(capsys, "plan", "--config", job, "--json")[1])["images"] == 3
    assert json.loads(ran(capsys, "plan", "--config", job, "--json", "--include", "b*")[1])["images"] == 1
