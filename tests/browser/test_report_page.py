"""The report in a real browser: its appearance, sliders, two datasets, hostile names."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from labelled_photos import labelled_photos
from playwright.sync_api import Page, expect
from report_page import HOSTILE, drawn, move, pixels

from jobs.cli import main
from pipeline.output.dataset import Dataset
from pipeline.report.report import Preview, written_report
from pipeline.store.uri import redacted

Opened = Callable[..., Page]


@pytest.mark.parametrize("width", [400, 1600])
@pytest.mark.parametrize("look", ["light", "dark"])
def test_it_fits_and_looks(
    demo: Path, pair: Path, opened: Opened, tmp_path: Path, width: int, look: str
) -> None:
    for file in (demo, pair) if look == "light" else (demo,):
        page = opened(file, width, look=look)
        move(page, "Stability", 40)
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


def wait_for_redraw(page: Page) -> None:
    page.wait_for_function(
        "() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r(true))))"
    )


def test_a_slider_redraws_counts_and_gives_a_command(demo: Path, opened: Opened) -> None:
    page = opened(demo)
    canvas = drawn(page)
    count, before = page.locator("#count"), pixels(canvas)
    expect(count).to_have_text("167 masks in 6 images")
    expect(page.locator("#command-box")).to_be_hidden()
    move(page, "Predicted IoU", 70)
    expect(count).to_contain_text("of 167 masks")
    expect(page.locator(".readout").first).to_have_text("1 of 5 masks · mean IoU 1.00")
    wait_for_redraw(page)
    assert pixels(canvas) < before
    expect(page.locator("#command")).to_contain_text(" --pred-iou-thresh 0.999")
    expect(page.get_by_role("status")).to_have_text(count.inner_text())
    move(page, "Area", 50)
    expect(page.locator("#command")).to_contain_text("sam-label export ")
    expect(page.locator("#command-why")).to_contain_text("made with NMS")
    page.get_by_role("button", name="Reset").click()
    expect(count).to_have_text("167 masks in 6 images")


@pytest.mark.parametrize("moves", [{"Predicted IoU": 30, "Stability": 30, "Area": 45}, {"Area": 30}])
def test_the_filter_command_gives_the_masks_that_the_page_counts(
    pair: Path, opened: Opened, moves: dict[str, int], capsys
) -> None:
    page = opened(pair)
    for name, place in moves.items():
        move(page, name, place)
    wait_for_redraw(page)  # the text may be there after the first of the moves
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
    move(page, "Stability", 30)
    expect(page.locator("#command")).to_contain_text("sam-label export ")
    shown = page.locator("#count").inner_text().split()[0]
    with pytest.raises(SystemExit) as end:
        main([*shlex.split(page.locator("#command").inner_text())[1:], "--images", "reference"])
    assert end.value.code == 0
    assert f" {shown} masks" in f" {capsys.readouterr().out}"


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
    move(page, "Predicted IoU", 90)
    expect(legend).not_to_contain_text("108 the same")


def test_what_has_no_masks_says_why_on_a_plain_ground(opened: Opened, tmp_path: Path) -> None:
    photos, old, new = (str(tmp_path / name) for name in ("photos", "old", "new"))
    labelled_photos(photos, old, shards=2)
    labelled_photos(photos, new)
    written_report(Preview(new, compare=old))
    page = opened(tmp_path / "new" / "report.html")
    notes = page.locator(".stage-note")
    expect(notes).to_have_text(
        ["this dataset has no row for the image"] * 2 + [re.compile("NOT_AN_IMAGE")] * 2
    )
    assert page.locator(".stage:has(.stage-note) img").count() == 0


def test_hostile_names_are_only_text(pair: Path, opened: Opened) -> None:
    page = opened(pair)
    names = page.locator("h3.name")
    assert sorted(names.all_inner_texts()) == sorted(map(redacted, HOSTILE))
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
