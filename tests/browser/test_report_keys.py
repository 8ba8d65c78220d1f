"""The report by mouse, touch and keyboard: pointing at masks, and enlarging an image."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from report_page import drawn, pixels

Opened = Callable[..., Page]


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


def test_keys_go_on_in_the_large_view(demo: Path, opened: Opened) -> None:
    page = opened(demo)
    canvas, dialog = drawn(page), page.get_by_role("dialog")
    canvas.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(dialog.locator(".readout")).to_contain_text("Mask 2 of")
    page.keyboard.press("ArrowRight")
    expect(dialog.locator(".readout")).to_contain_text("Mask 3 of")
    names = page.locator("h3.name").all_inner_texts()
    dialog.get_by_role("button", name="Next").focus()
    for name in names[1:]:
        page.keyboard.press("Enter")
        expect(dialog.get_by_role("heading")).to_have_text(name)
    expect(dialog.get_by_role("button", name="Next")).to_be_disabled()
    expect(dialog.get_by_role("button", name="Close")).to_be_focused()


@pytest.mark.parametrize(("width", "height"), [(400, 800), (1600, 900)])
def test_a_mask_that_is_chosen_in_the_table_is_seen(
    demo: Path, pair: Path, opened: Opened, width: int, height: int
) -> None:
    for file in (demo, pair) if width == 400 else (pair,):
        page = opened(file, width, height)
        page.get_by_role("button", name=re.compile("Enlarge")).nth(1).click()
        row = page.get_by_role("button", name="Show mask 30", exact=True)
        row.focus()
        expect(page.locator("dialog .readout")).to_contain_text("Mask 30 of")
        picture = page.locator("dialog canvas").last.bounding_box()
        assert picture
        assert 0 <= picture["y"] < picture["y"] + picture["height"] <= height
        chosen = row.bounding_box()
        assert chosen
        is_beside = chosen["x"] > picture["x"] + picture["width"]
        assert is_beside or picture["y"] + picture["height"] < chosen["y"] < height


def test_what_the_keyboard_goes_to_is_not_below_the_sliders(demo: Path, opened: Opened) -> None:
    page = opened(demo, 400, 800)
    page.get_by_role("button", name="Enlarge").last.focus()
    for _ in range(8):
        page.keyboard.press("Shift+Tab")
        place = page.evaluate("document.activeElement.getBoundingClientRect().top")
        panel = page.evaluate("document.querySelector('.panel').getBoundingClientRect().bottom")
        assert place >= panel


def test_each_arrow_key_moves_a_slider_to_another_value(demo: Path, opened: Opened) -> None:
    page = opened(demo)
    for name in ("Predicted IoU", "Stability", "Area"):
        slider = page.get_by_role("slider", name=name, exact=True)
        values = [slider.get_attribute("aria-valuetext")]
        for _ in range(4):
            slider.press("ArrowRight")
            values.append(slider.get_attribute("aria-valuetext"))
        assert len(set(values)) == 5
