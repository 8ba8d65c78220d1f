"""`sam-label preview` as a person uses it: the page's place and size, and one sentence for each mistake."""

import json
import re
import shutil
import tomllib
import webbrowser
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import ran
from demo_dataset import Upright
from drawn_masks import image_masks
from labelled_photos import blobs
from PIL import Image

from pipeline.errors import DamagedFile
from pipeline.output.commands.gc import collect
from pipeline.output.commands.validate import validate
from pipeline.output.dataset import Dataset
from pipeline.output.format.manifest import manifest_row
from pipeline.output.format.schema import ok_row, table_of
from pipeline.pixel_reading import PixelReading
from pipeline.reading.block import Block, ImageSettings
from pipeline.reading.record import Record
from pipeline.report.page import PROGRAM, STYLES, embedded_json
from pipeline.report.photo import STEPS, photo_uri
from pipeline.report.report import MOST_BYTES, Preview, written_report
from pipeline.report.shown import Photos, Seen, shown_image
from pipeline.store.storage import Store
from sam_core.masks.image_masks import ImageMasks

ROOT = Path(__file__).parents[4]


def data_of(page: Path) -> dict:
    text = page.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_page_lies_in_the_dataset_and_is_left_alone_there(labelled, capsys) -> None:
    photos, masks = labelled()
    (photos / "a.jpg").unlink()
    code, out, err = ran(capsys, "preview", masks)
    page = masks / "report.html"
    assert code == 0
    assert f"8 of 8 images shown, with {Dataset.at(str(masks)).masks} masks" in out
    assert "1 photo could not be fetched" in out
    assert f"report: {page}" in out
    assert "next: open it in a browser" in err
    assert validate(str(masks)).problems == []
    leftover = masks / ".tmp-report.html-0123abcd"
    leftover.write_text("half a page")
    assert collect(str(masks)).files == 1
    assert page.exists()
    assert not leftover.exists()
    assert ran(capsys, "preview", masks)[0] == 0, "a report is written over an older one"
    data = data_of(page)
    gone = next(image for image in data["images"] if image["name"] == "a.jpg")
    assert (gone["gone"], gone["photo"]) == ("SOURCE_MISSING", None)
    failed = next(image for image in data["images"] if image["groups"] == ["failed"])
    assert failed["sides"] == [
        {"masks": 0, "error": "NOT_AN_IMAGE", "why": "no image format begins with b'no image'"}
    ]


def test_a_changed_photo_is_not_shown_with_the_masks_of_the_old_one(labelled, tmp_path: Path) -> None:
    photos, masks = labelled()
    shutil.copy(photos / "z.webp", photos / "a.jpg")
    page = tmp_path / "page.html"
    assert written_report(Preview(str(masks), str(page))).unreadable == 1
    gone = next(image for image in data_of(page)["images"] if image["name"] == "a.jpg")
    assert gone["gone"] == "SOURCE_CHANGED"


def test_json_and_a_file_of_ones_own(labelled, tmp_path: Path, capsys) -> None:
    _, masks = labelled()
    page = tmp_path / "here" / "page.html"
    code, out, _ = ran(capsys, "preview", masks, "-o", page, "--images", 3, "--json")
    assert code == 0
    told = json.loads(out)
    assert (told["report"], told["images"], told["images_of"]) == (str(page), 3, 8)
    assert told["bytes"] == page.stat().st_size
    assert len(data_of(page)["images"]) == 3
    assert not (masks / "report.html").exists()


@pytest.mark.parametrize("is_found", [True, False])
def test_the_page_is_opened_if_there_is_a_browser(
    labelled, capsys, monkeypatch: pytest.MonkeyPatch, is_found: bool
) -> None:
    _, masks = labelled()
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or is_found)
    code, out, err = ran(capsys, "preview", masks, "--open")
    assert code == 0
    assert f"report: {masks / 'report.html'}" in out
    assert opened == [(masks / "report.html").as_uri()]
    assert ("no browser was found" in err) == (not is_found)


def test_each_mistake_is_one_sentence(labelled, tmp_path: Path, capsys) -> None:
    _, masks = labelled()
    half = tmp_path / "half"
    shutil.copytree(masks / "data", half / "data")
    newer = tmp_path / "newer"
    shutil.copytree(masks, newer)
    described = json.loads((newer / "dataset.json").read_text())
    (newer / "dataset.json").write_text(json.dumps(described | {"schema_version": 99}))
    foreign = tmp_path / "report.html"
    foreign.write_text("<!doctype html><title>my own page</title>")
    mistakes = [
        ([tmp_path / "nothing"], "holds no dataset"),
        ([foreign], "is a file, and a dataset is a folder"),
        ([half], "but lacks _runs/ and _commits/"),
        ([newer], "install a newer one"),
        ([masks, "-o", foreign], "was not written by sam-label preview"),
        ([masks, "-o", tmp_path], "is a folder"),
        ([masks, "-o", f"{tmp_path}/new/"], "is not the name of a page: it must end in .html"),
        ([masks, "-o", tmp_path / "page.pdf"], "is not the name of a page: it must end in .html"),
        ([masks, "-o", "https://bucket/page.html"], "can only be read"),
        ([masks, "-o", "s3://bucket"], "is not the name of a page"),
        ([masks, "-o", "s3://bucket/page.html", "--open"], "--open needs a page on this machine"),
        ([masks, "--compare", tmp_path / "nothing"], "holds no dataset"),
        ([masks, "--images", "0"], "--images"),
    ]
    for arguments, sentence in mistakes:
        code, out, err = ran(capsys, "preview", *arguments)
        assert (code, out) == (2, ""), sentence
        assert sentence in err
        assert err.startswith("sam-label: ")
        assert err.count("\n") == 1
    assert foreign.read_text() == "<!doctype html><title>my own page</title>"


def test_two_datasets_without_a_common_image_are_refused(labelled, rehearsal, tmp_path: Path, capsys) -> None:
    _, masks = labelled()
    rehearsal(["a.jpg", "b.jpg"]).run(Store.at(str(tmp_path / "other")))
    code, _, err = ran(capsys, "preview", masks, "--compare", tmp_path / "other")
    assert code == 2
    assert "has none of the 8 images" in err


def record_of(masks: ImageMasks, uri: str, etag: str = "") -> Record:
    row = ok_row(manifest_row(uri, 1, etag)._asdict(), Upright(), masks)
    return Record(Block(table_of([row]), ImageSettings(PixelReading(), False)), 0)


@pytest.mark.parametrize(("count", "name"), [(60, "noise.png"), (3000, "noise.png"), (1, "\n" * 4000)])
def test_two_hundred_images_are_under_15_mb_whatever_they_are(tmp_path: Path, count: int, name: str) -> None:
    """WebP and run lengths are worst at noise, but each image stays within its share of the page."""
    height, width = 360, 480
    noise = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    masks = image_masks(blobs(0, 12, height, width), height, width).select(np.arange(count) % 12)
    uri = f"file://{tmp_path}/{name}"
    etag = "" if "\n" in name else Store.at(str(tmp_path)).get(name).etag
    record = record_of(masks, uri, etag)
    share = MOST_BYTES // 200
    for other in (None, record) if count == 60 else (None,):
        seen = Seen(record, ["random"], other)
        shown = shown_image(seen, Photos(), "file:///", share, other is not None)
        assert len(embedded_json(shown)) <= share
        assert ("gone" in shown) == (not etag)
        last = shown["sides"][-1]
        assert last["masks"] + last["left_out"] == count
        assert last["drawn"] > 0
    sources = sum(path.stat().st_size for path in (ROOT / "pipeline" / "report" / "page").iterdir())
    assert 200 * share + sources + 200_000 < 15_000_000, "the plots, the colours and the head take the rest"


def test_two_hundred_images_in_one_page(rehearsal, tmp_path: Path) -> None:
    rehearsal([f"{number}.jpg" for number in range(210)]).run(Store.at(str(tmp_path)))
    report = written_report(Preview(str(tmp_path), images=200))
    assert (report.images, report.images_of) == (200, 210)
    assert (tmp_path / "report.html").stat().st_size == report.bytes < 15_000_000
    assert "200 of 210 images are shown" in (tmp_path / "report.html").read_text()


def test_masks_that_are_none_are_damage() -> None:
    masks = image_masks(blobs(0, 3, 20, 30), 20, 30)
    damaged = record_of(replace(masks, counts=[*masks.counts[:2], b"54"]), "file:///a.png")
    sentence = (
        r"the row of file:///a.png is damaged \(the counts b'54' of mask 2 are not a mask of 20 x 30 pixels"
    )
    with pytest.raises(DamagedFile, match=sentence):
        shown_image(Seen(damaged, ["random"]), Photos(), "file:///", 10_000, False)
    with pytest.raises(DamagedFile, match=sentence):
        shown_image(
            Seen(record_of(masks, "file:///b.png"), ["random"], damaged), Photos(), "file:///", 10_000, True
        )


def test_a_photo_keeps_within_its_room() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (700, 900, 3), np.uint8)
    sizes = [len(photo_uri(noise, most_bytes)) for most_bytes in (300_000, 60_000, 10_000)]
    assert all(size <= most for size, most in zip(sizes, (300_000, 60_000, 10_000), strict=True))
    assert len(photo_uri(noise, 0)) < 3_000, "the last step is taken if there is no room"
    assert STEPS[0][0] == 640


@pytest.mark.parametrize("text", ["</script><script>alert(1)</script>", "<!--", "]]>", "\u2028", "&lt;"])
def test_no_text_ends_the_json(text: str) -> None:
    embedded = embedded_json({text: [text]})
    assert json.loads(embedded) == {text: [text]}
    assert not set("<>&\u2028") & set(embedded)


def test_the_page_s_sources_are_shipped() -> None:
    shipped = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    room = ROOT / "pipeline" / "report"
    found = {path for pattern in shipped["pipeline.report"] for path in room.glob(pattern)}
    assert found == set((room / "page").iterdir())
    assert {path.name for path in found} == {*STYLES, *PROGRAM, "report.html"}


def test_nothing_of_the_dataset_is_changed(demo: str, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(demo).rglob("*")}
    report = written_report(Preview(demo, str(tmp_path / "page.html")))
    assert {path: path.stat().st_mtime_ns for path in Path(demo).rglob("*")} == before
    assert report.masks == Dataset.at(demo).masks == 167
