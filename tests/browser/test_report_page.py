"""The report as a person meets it, in a real browser: looks, sliders, keys, touch, hostile names."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from demo_dataset import Upright, recorded_masks, write_demo
from playwright.sync_api import Locator, Page, expect

from jobs.cli import main
from pipeline.output.dataset import Dataset
from pipeline.output.format.identity import Identity
from pipeline.output.format.manifest import manifest_row, rows_of
from pipeline.output.format.schema import ok_row, table_of
from pipeline.output.shards import write_shards
from pipeline.output.writer import open_output
from pipeline.report.report import Preview, written_report
from pipeline.store.storage import Store
from sam_core.options import MaskOptions

Opened = Callable[..., Page]
HOSTILE = [
    "</script><script>alert(1)</script>.jpg",
    "<img src=x onerror=alert(1)>.jpg",
    '" onload="alert(1)" x="\'`${alert(1)}{{ 7*7 }}.jpg',
    "javascript:alert(1)\u202e\u2028gpj.exe",
]
LOOSE = MaskOptions(box_nms_thresh=1, crop_nms_thresh=1)


def write_rows(output: Path, options: MaskOptions, keep: slice, names: list[str]) -> None:
    """A dataset of the coins' masks, some of them, for images of these names that do not exist."""
    masks = recorded_masks("coins")
    masks = masks.select(range(*keep.indices(len(masks))))
    images = [manifest_row(f"file:///nowhere/{name}", 1, "1") for name in names]
    store = Store.at(str(output))
    with open_output(
        store, Identity("vit_t", "0" * 64, options), "file:///nowhere", lambda: iter(images)
    ) as run:
        rows = [ok_row(row._asdict(), Upright(), masks) for row in rows_of(run.dataset.pending())]
        write_shards(store, f"{run.run}-000000", table_of(rows), {})


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the six sample photos; 167 masks, made with NMS."""
    output = tmp_path_factory.mktemp("demo")
    write_demo(str(output))
    written_report(Preview(str(output)))
    return output / "report.html"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two datasets of hostile names, 30 masks in the one and 32 in the other, of which 27 are the same."""
    folder = tmp_path_factory.mktemp("pair")
    write_rows(folder / "old", LOOSE, slice(0, 30), HOSTILE)
    write_rows(folder / "new", LOOSE, slice(3, 35), HOSTILE)
    written_report(Preview(str(folder / "new"), compare=str(folder / "old")))
    return folder / "new" / "report.html"


def pixels(canvas: Locator) -> int:
    """How many pixels of a canvas are painted."""
    count: int = canvas.evaluate(
        """c => {
            const small = new OffscreenCanvas(c.width, c.height);
            const copy = small.getContext("2d", { willReadFrequently: true });
            copy.drawImage(c, 0, 0);
            const { data } = copy.getImageData(0, 0, c.width, c.height);
            return data.filter((value, place) => place % 4 === 3 && value).length;
        }"""
    )
    return count


def drawn(page: Page, place: int = 0) -> Locator:
    """A canvas that is scrolled to and painted."""
    canvas = page.locator("canvas[role=slider]").nth(place)
    canvas.scroll_into_view_if_needed()
    page.wait_for_function("c => c.width !== 300", arg=canvas.element_handle())
    return canvas


def move(page: Page, name: str, place: int) -> None:
    page.get_by_role("slider", name=name, exact=True).fill(str(place))


@pytest.mark.parametrize("width", [400, 1600])
@pytest.mark.parametrize("look", ["light", "dark"])
def test_it_fits_and_looks(
    demo: Path, pair: Path, opened: Opened, tmp_path: Path, width: int, look: str
) -> None:
    for file in (demo, pair) if look == "light" else (demo,):
        page = opened(file, width, look=look)
        move(page, "Stability", 400)
        expect(page.locator("#command-box")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == width
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (int(re.findall(r"\d+", ground)[0]) < 60) == (look == "dark")
        picture = tmp_path / f"{width}-{look}.png"
        page.screenshot(path=picture)
        assert picture.stat().st_size > 20_000
    page.get_by_role("button", name="Dark").click()
    after = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(re.findall(r"\d+", after)[0]) < 60) == (look == "light")


def test_a_slider_redraws_counts_and_gives_a_command(demo: Path, opened: Opened) -> None:
    page = opened(demo)
    canvas = drawn(page)
    count, before = page.locator("#count"), pixels(canvas)
    expect(count).to_have_text("167 masks in 6 images")
    expect(page.locator("#command-box")).to_be_hidden()
    move(page, "Predicted IoU", 700)
    expect(count).to_contain_text("of 167 masks")
    page.wait_for_function(
        "() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r(true))))"
    )
    assert pixels(canvas) < before
    expect(page.locator("#command")).to_contain_text(" --pred-iou-thresh 0.999")
    expect(page.get_by_role("status")).to_have_text(count.inner_text())
    move(page, "Area", 500)
    expect(page.locator("#command")).to_contain_text("sam-label export ")
    expect(page.locator("#command-why")).to_contain_text("made with NMS")
    page.get_by_role("button", name="Reset").click()
    expect(count).to_have_text("167 masks in 6 images")


@pytest.mark.parametrize("moves", [{"Predicted IoU": 300, "Stability": 300, "Area": 450}, {"Area": 300}])
def test_the_filter_command_gives_the_masks_that_the_page_counts(
    pair: Path, opened: Opened, moves: dict[str, int], capsys
) -> None:
    page = opened(pair)
    for name, place in moves.items():
        move(page, name, place)
    expect(page.locator("#count")).to_contain_text(" of 128 masks")
    shown = int(page.locator("#count").inner_text().split()[0])
    words = shlex.split(page.locator("#command").inner_text())
    assert words[:3] == ["sam-label", "filter", str(pair.parent)]
    with pytest.raises(SystemExit) as end:
        main([*words[1:], "--overwrite"])
    assert end.value.code == 0, capsys.readouterr().err
    assert Dataset.at(words[3]).masks == shown


def test_the_export_command_gives_the_masks_that_the_page_counts(demo: Path, opened: Opened, capsys) -> None:
    page = opened(demo)
    move(page, "Stability", 300)
    expect(page.locator("#command")).to_contain_text("sam-label export ")
    shown = page.locator("#count").inner_text().split()[0]
    with pytest.raises(SystemExit) as end:
        main([*shlex.split(page.locator("#command").inner_text())[1:], "--images", "reference"])
    assert end.value.code == 0
    assert f" {shown} masks" in f" {capsys.readouterr().out}"


def test_masks_are_told_by_mouse_keyboard_and_touch(demo: Path, opened: Opened) -> None:
    page = opened(demo)
    canvas, readout = drawn(page), page.locator(".readout").first
    told = re.compile(
        r"Mask \d+ of \d+ · IoU [\d.]+ · stability [\d.]+ · [\d.]+ % of the image \([\d,]+ px\)"
    )
    canvas.hover()
    expect(readout).to_have_text(told)
    expect(canvas).to_have_attribute("aria-valuetext", told)
    page.mouse.move(0, 0)
    expect(readout).to_contain_text("mean IoU")
    page.get_by_role("radio", name="All").focus()
    page.keyboard.press("Tab")
    expect(canvas).to_be_focused()
    expect(readout).to_contain_text("Mask 1 of")
    painted = pixels(canvas)
    page.keyboard.press("ArrowRight")
    expect(readout).to_contain_text("Mask 2 of")
    expect(canvas).to_have_attribute("aria-valuenow", "2")
    assert painted > 0
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")
    masks = canvas.get_attribute("aria-valuemax")
    expect(readout).to_contain_text(f"Mask {masks} of {masks}")
    page.keyboard.press("Escape")
    expect(readout).to_contain_text("mean IoU")
    canvas.tap()
    expect(readout).to_have_text(told)


def test_an_image_is_seen_large_with_its_masks_as_a_table(demo: Path, opened: Opened) -> None:
    page = opened(demo, 400)
    button = page.get_by_role("button", name="Enlarge astronaut.jpg")
    button.click()
    dialog = page.get_by_role("dialog", name="astronaut.jpg")
    expect(dialog.get_by_role("row")).to_have_count(33)
    dialog.get_by_role("button", name="Show mask 7", exact=True).focus()
    expect(dialog.locator(".readout")).to_contain_text("Mask 7 of 32")
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(button).to_be_focused()


def test_two_datasets_stand_side_by_side(pair: Path, opened: Opened) -> None:
    page = opened(pair)
    legend = page.get_by_role("list", name="What became of the masks")
    assert legend.inner_text().split("\n") == ["108 the same", "0 changed", "12 vanished", "20 appeared"]
    card = page.locator(".card").first
    expect(card.locator("figcaption")).to_have_text(["old", "new"])
    expect(card.locator(".readout")).to_have_text("27 the same · 0 changed · 3 vanished · 5 appeared")
    left, right = drawn(page, 0), drawn(page, 1)
    right.focus()
    page.keyboard.press("Home")
    expect(card.locator(".readout")).to_contain_text("the same (overlap 1.00)")
    expect(left).to_have_attribute("aria-valuetext", re.compile("Mask 4 of 30"))
    left.focus()
    page.keyboard.press("Home")
    expect(card.locator(".readout")).to_contain_text("vanished")
    move(page, "Predicted IoU", 900)
    expect(legend).not_to_contain_text("108 the same")


def test_hostile_names_are_only_text(pair: Path, opened: Opened) -> None:
    page = opened(pair)
    names = page.locator("h3.name")
    assert sorted(names.all_inner_texts()) == sorted(HOSTILE)
    assert page.locator("img, script[src], iframe, a[href^=javascript]").count() == 0
    expect(page.locator(".gone").first).to_contain_text("SOURCE_MISSING")
    policy = page.locator("meta[http-equiv=Content-Security-Policy]").get_attribute("content") or ""
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy


def test_it_is_read_without_eyes(demo: Path, opened: Opened) -> None:
    page = opened(demo)
    for role in ("banner", "main", "contentinfo"):
        expect(page.get_by_role(role)).to_have_count(1)
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    for name in ("Predicted IoU", "Stability", "Area"):
        expect(page.get_by_role("slider", name=name, exact=True)).to_have_count(1)
    expect(page.get_by_role("img", name="Predicted IoU: histogram of 167 masks")).to_have_count(1)
    expect(page.get_by_role("img", name="Photo astronaut.jpg")).to_have_count(1)
    expect(page.get_by_role("slider", name="Masks of astronaut.jpg")).to_have_count(1)
    table = page.get_by_role("group").filter(has=page.get_by_role("table")).first
    page.get_by_text("As a table").first.click()
    counts = [int(text.replace(",", "")) for text in table.locator("td").all_inner_texts()]
    assert sum(counts) == 167
    unnamed = """selector => [...document.querySelectorAll(selector)]
        .filter((e) => !(e.ariaLabel || e.textContent.trim() || e.labels?.length || e.alt))
        .map((e) => e.outerHTML.slice(0, 200))"""
    assert page.evaluate(unnamed, "button:not([hidden] *), input, [tabindex]:not(section), img") == []


def test_groups_are_chosen(demo: Path, opened: Opened) -> None:
    page = opened(demo)
    page.locator(".chip", has_text="Best").click()
    expect(page.locator(".card:visible")).to_have_count(2)
    expect(page.locator("#group-note")).to_contain_text("highest mean predicted IoU")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#group-note")).to_contain_text("lowest mean predicted IoU")
