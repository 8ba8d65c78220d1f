"""An export as a whole: what it chooses, resumes, refuses and reports."""

import json
import shutil
from pathlib import Path
from typing import Any

import lance
import pytest
from labelled_photos import NAMES, labelled_listing

from jobs.cli import main
from jobs.export_text import export_text
from pipeline.errors import UsageError
from pipeline.export import coco, images, webdataset
from pipeline.export.counts import Counts
from pipeline.export.destination import Destination, Mark
from pipeline.export.export import Exported, exported
from pipeline.export.record import Selection
from pipeline.export_config import ExportConfig
from pipeline.images.fetch import fetched_together
from pipeline.inputs.options import SourceOptions
from pipeline.inputs.source import Source
from pipeline.output.commands.compact import compact

FORMS = ["coco", "sa1b", "yolo", "png", "webdataset", "lance"]
SAME_BYTES = [form for form in FORMS if form != "lance"]  # Lance names its files by chance


def test_only_what_fits_is_exported_under_the_numbers_of_the_whole(labelled) -> None:
    result = labelled.export("some.json", where="predicted_iou > 0.65 and area_share < 0.6")
    labelled.export("all.json")
    some, whole = (json.loads((labelled.folder / name).read_text()) for name in ("some.json", "all.json"))
    fitting = [a for a in whole["annotations"] if a["predicted_iou"] > 0.65 and a["area"] < 0.6 * 48 * 32]
    assert some["annotations"] == fitting
    assert 0 < len(fitting) < len(whole["annotations"])
    wanted = {a["image_id"] for a in fitting}
    assert some["images"] == [image for image in whole["images"] if image["id"] in wanted]
    assert result.counts.unmatched == len(NAMES) - len(wanted)


@pytest.mark.parametrize("form", SAME_BYTES)
def test_pieces_and_tars_are_cut_by_size(labelled, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    labelled.export("whole", format=form)
    monkeypatch.setattr(coco, "PIECE_BYTES", 300)
    monkeypatch.setattr(webdataset, "TAR_BYTES", 3000)
    labelled.export("cut", format=form)
    whole, cut = labelled.files("whole"), labelled.files("cut")
    if form == "webdataset":
        assert len(cut) > len(whole)
    else:
        assert cut == whole


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("marks", [0, 1, 3])
def test_a_stopped_export_goes_on(labelled, form: str, marks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = labelled.export("whole", format=form)
    done: list[int] = []
    mark = Destination.mark

    def stop(destination: Destination, part: int, what: Mark) -> None:
        if len(done) == marks:
            raise KeyboardInterrupt
        done.append(part)
        mark(destination, part, what)

    monkeypatch.setattr(Destination, "mark", stop)
    if marks < 3:
        with pytest.raises(KeyboardInterrupt):
            labelled.export("stopped", format=form)
    else:
        monkeypatch.setattr(Destination, "end", lambda *_: stop(*_, None))  # after the last part
        with pytest.raises(KeyboardInterrupt):
            labelled.export("stopped", format=form)
    monkeypatch.undo()
    read: list[str] = []
    monkeypatch.setattr(Selection, "records", spied(Selection.records, read))
    result = labelled.export("stopped", format=form)
    assert len(read) == 3 - marks, "finished parts are not done again"
    assert result.counts == whole.counts
    if form == "lance":
        tables = [lance.dataset(str(labelled.folder / name)).to_table() for name in ("whole", "stopped")]
        assert tables[0] == tables[1]
    else:
        assert labelled.files("stopped") == labelled.files("whole")


def spied(records, read: list[str]):
    def spy(*args):
        read.append("a shard")
        return records(*args)

    return spy


def test_once_more_it_is_done(labelled) -> None:
    first = labelled.export("coco.json", split="0.5,0.5")
    before = {path: path.stat().st_mtime_ns for path in labelled.folder.rglob("*")}
    again = labelled.export("coco.json", split="0.5,0.5")
    assert (again.counts, again.is_new) == (first.counts, False)
    assert {path: path.stat().st_mtime_ns for path in labelled.folder.rglob("*")} == before


@pytest.mark.parametrize(
    ("dest", "options", "sentence"),
    [
        ("taken", {}, r"taken/note.txt exists but does not belong to this export"),
        ("taken.json", {}, r"taken.json exists but does not belong to this export"),
        (
            "done",
            {"where": "area > 3"},
            r"done holds a different export \(where None, not area > 3\); choose another",
        ),
        ("done", {"format": "sa1b"}, r"different export \(format coco, not sa1b\)"),
        (
            "x.json",
            {"format": "png"},
            r"png does not write the file .*x.json; choose another destination, or give --format coco",
        ),
        ("x", {"format": "yolo", "images": "reference"}, r"yolo cannot reference the images; .*copy or link"),
        ("masks/coco", {}, r"is inside the other"),
        ("photos/coco", {}, r"is inside the other"),
        ("photos/coco.json", {}, r"is inside the other"),
        ("x", {"where": "area >"}, r"--where is 'area >': at its end expected a number"),
    ],
)
def test_a_refusal_is_one_sentence(labelled_anew, dest: str, options: dict, sentence: str) -> None:
    labelled = labelled_anew()
    (labelled.folder / "taken").mkdir()
    (labelled.folder / "taken/note.txt").write_text("mine")
    (labelled.folder / "taken.json").write_text("mine")
    labelled.export("done")
    before = sorted(labelled.folder.rglob("*"))
    with pytest.raises(UsageError, match=sentence) as refusal:
        labelled.export(dest, **options)
    assert "\n" not in str(refusal.value)
    assert sorted(labelled.folder.rglob("*")) == before


def test_places_that_are_no_destination(labelled, tmp_path: Path) -> None:
    config = ExportConfig(output=str(labelled.output), dest="https://bucket/x")
    with pytest.raises(UsageError, match="can only be read"):
        exported(config)
    with pytest.raises(UsageError, match="holds no dataset"):
        exported(ExportConfig(output=str(tmp_path / "nothing"), dest=str(tmp_path / "x")))
    with pytest.raises(UsageError, match="--images link needs images and destination on a disk"):
        exported(ExportConfig(output=str(labelled.output), dest="s3://bucket/x", images="link"))


def test_an_unfinished_export_is_of_one_state_of_the_dataset(labelled_anew, monkeypatch) -> None:
    labelled = labelled_anew()
    monkeypatch.setattr(Destination, "end", interrupted)
    with pytest.raises(KeyboardInterrupt):
        labelled.export("coco")
    monkeypatch.undo()
    compact(str(labelled.output))
    with pytest.raises(UsageError, match=r"holds a different export \(shards 3 \(\w+\), not 1 \(\w+\)\)"):
        labelled.export("coco")


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("form", ["coco", "webdataset"])
def test_large_images_are_copied_one_by_one(labelled, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    together: list[int] = []

    def spy(rows: list[dict], *how: Any) -> Any:
        together.append(len(rows))
        return fetched_together(rows, *how)

    monkeypatch.setattr(images, "fetched_together", spy)
    labelled.export("whole", format=form, images="copy")
    assert max(together) == 3
    monkeypatch.setattr(images, "PIXELS_AT_ONCE", 1)
    together.clear()
    labelled.export("alone", format=form, images="copy")
    assert max(together) == 1
    assert labelled.files("alone") == labelled.files("whole")


def test_images_that_are_gone_or_have_changed_are_left_out_and_said(labelled_anew, capsys) -> None:
    labelled = labelled_anew()
    (labelled.photos / "a.jpg").unlink()
    (labelled.photos / "z.webp").write_bytes(b"another")
    result = labelled.export("coco", images="copy")
    assert result.counts.unavailable == {"SOURCE_MISSING": 1, "SOURCE_CHANGED": 1}
    assert result.counts.images == len(NAMES) - 2
    assert b"z.webp" not in b"".join(labelled.files("coco").values())
    with pytest.raises(SystemExit):
        main(["export", str(labelled.output), str(labelled.folder / "coco"), "--images", "copy"])
    assert (
        "2 images left out with all masks, because the images cannot be copied: " in capsys.readouterr().out
    )


@pytest.mark.parametrize("form", FORMS)
def test_if_no_image_can_be_copied_there_is_no_export(labelled_anew, form: str) -> None:
    labelled = labelled_anew()
    labelled.photos.rename(labelled.folder / "away")
    labelled.photos.mkdir()
    before = sorted(labelled.folder.rglob("*"))
    refer = "" if form in ("yolo", "webdataset") else ", or give --images reference"
    with pytest.raises(UsageError) as ended:
        labelled.export("out", format=form, images="copy")
    assert str(ended.value) == (
        "no image can be copied (7 SOURCE_MISSING), so there is nothing to export; restore the images as "
        f"they were when labelled{refer}"
    )
    assert ended.value.exit_code == 2
    folders = [labelled.folder / "out", labelled.folder / "out.json"]
    assert sorted({*labelled.folder.rglob("*")}.difference(folders)) == before
    labelled.photos.rmdir()
    (labelled.folder / "away").rename(labelled.photos)
    assert labelled.export("out", format=form, images="copy").counts.images == len(NAMES)


@pytest.mark.parametrize("form", [*FORMS, "geojson", "geopackage"])
def test_an_advice_is_one_that_the_form_takes(labelled, form: str) -> None:
    result = Exported("out", form, "reference", Counts(images=1, turned=1), 0, 0, is_new=True)
    said = export_text(result, has_where=False)
    try:
        labelled.export("out.gpkg" if form == "geopackage" else "out", format=form, images="copy")
        takes_copies = True
    except UsageError:
        takes_copies = False
    assert "rotated by EXIF" in said
    assert ("--images copy" in said) == takes_copies


def test_what_is_not_labelled_yet_is_said(labelled_anew) -> None:
    labelled = labelled_anew(shards=1)
    assert labelled.export("coco").unlabelled == len(NAMES) + 1 - 3


def test_images_that_others_stand_for_are_said(labelled, capsys: pytest.CaptureFixture[str]) -> None:
    photos, masks = labelled.folder / "photos", str(labelled.folder / "masks")
    shutil.copytree(labelled.photos, photos)
    shutil.copy(photos / "a.jpg", photos / "once more.jpg")
    source = Source.at(str(photos), SourceOptions(deduplicate=True))
    labelled_listing(source, str(photos), masks)
    for _ in range(2):
        with pytest.raises(SystemExit):
            main(["export", masks, str(labelled.folder / "coco.json")])
        assert "\n1 image left out: other images have the same bytes\n" in capsys.readouterr().out


def test_an_empty_export_is_a_file_too(labelled, capsys: pytest.CaptureFixture[str]) -> None:
    labelled.export("coco.json", where="area < 0")
    said = json.loads((labelled.folder / "coco.json").read_text())
    assert (said["images"], said["annotations"]) == ([], [])
    command = ["export", str(labelled.output), str(labelled.folder / "maps"), "--format", "png"]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--where", "area < 0"])
    out, err = capsys.readouterr()
    assert ended.value.code == 0
    assert out.startswith("0 images, 0 masks\n")
    assert "next:" not in err


def test_a_killed_writer_leaves_no_half_file(labelled, monkeypatch: pytest.MonkeyPatch) -> None:
    (labelled.folder / "out/images").mkdir(parents=True)
    monkeypatch.setattr(Destination, "end", interrupted)
    (labelled.folder / "out/images").rmdir()
    with pytest.raises(KeyboardInterrupt):
        labelled.export("out", images="copy")
    monkeypatch.undo()
    half = labelled.folder / "out/images/.tmp-a.jpg-01234567"
    half.write_bytes(b"ha")
    labelled.export("out", images="copy")
    assert not half.exists()


def test_the_command_says_what_was_written_and_what_not(labelled, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["export", str(labelled.output), str(labelled.folder / "yolo"), "--format", "yolo"]
    for arguments, expected in (
        (command, "1 failed image left out: 1 NOT_AN_IMAGE"),
        ([*command, "--json"], ""),
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        out, err = capsys.readouterr()
        assert ended.value.code == 0
        assert expected in out
    assert json.loads(out)["counts"]["images"] == len(NAMES)
    assert err == ""
    with pytest.raises(SystemExit) as ended:
        main([*command[:-1], "yola"])
    assert ended.value.code == 2
    assert "did you mean yolo?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "split", ["0.9", "0.9,0.2", "a,b", "0.5,0.5,0,0", "1.5,-0.5", "0.25,0.25,0.25,0.25", "nan,1"]
)
def test_shares_add_up_to_one(labelled, split: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["export", str(labelled.output), str(labelled.folder / "x"), "--split", split])
    assert ended.value.code == 2
    assert f"--split is '{split}': '{split}' " in capsys.readouterr().err
