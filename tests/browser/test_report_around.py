"""The report when printed, when served and in small windows; and its command, with any names in it."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from labelled_photos import labelled_photos
from playwright.sync_api import Browser, Page, expect
from report_page import move

from pipeline.config import FilterConfig
from pipeline.output.commands.filter import filtered_dataset
from pipeline.report.report import Preview, written_report
from sam_core.options import MaskOptions

Opened = Callable[..., Page]


def test_images_that_a_slider_empties_are_not_counted(demo: Path, opened: Opened) -> None:
    page = opened(demo)
    move(page, "Predicted IoU", 100)
    expect(page.locator("#count")).to_have_text("1 of 167 masks (0.6 %) in 1 of 6 images")


@pytest.mark.parametrize("name", ["plain", 'it\'s größer  "$HOME" `x`', "a'b"])
def test_each_choice_has_a_command_of_its_own(opened: Opened, tmp_path: Path, name: str) -> None:
    masks = tmp_path / name
    labelled_photos(str(tmp_path / "photos"), str(masks))
    written_report(Preview(str(masks)))
    page = opened(masks / "report.html")
    outputs = set()
    for place in (20, 40):
        move(page, "Predicted IoU", place)
        value = f"{0.88 + place * (1.05 - 0.88) / 100:.4g}"
        command = page.locator("#command")
        expect(command).to_contain_text(f" --pred-iou-thresh {value}")
        words = shlex.split(command.text_content() or "")
        output = f"{masks}-iou{value}"
        assert words == ["sam-label", "filter", str(masks), output, "--pred-iou-thresh", value]
        assert f" {shlex.quote(output)} " in (command.text_content() or "")
        outputs.add(output)
    assert len(outputs) == 2
    move(page, "Stability", 20)
    expect(page.locator("#command")).to_contain_text("sam-label export")
    words = shlex.split(page.locator("#command").text_content() or "")
    where = f"predicted_iou > {value} and stability_score >= 0.96"
    assert words == [
        "sam-label",
        "export",
        str(masks),
        f"{masks}-export-iou{value}-stab0.96",
        "--where",
        where,
    ]


def test_print_shows_the_whole_command_and_no_buttons(demo: Path, opened: Opened) -> None:
    page = opened(demo)
    move(page, "Stability", 40)
    expect(page.locator("#command")).to_contain_text("--where")
    page.emulate_media(media="print")
    code = page.locator("#command")
    assert code.evaluate("code => code.scrollWidth <= code.clientWidth")
    assert page.locator(".plain:visible, #groups:visible, .plot details:visible").count() == 0
    assert page.locator(".card").first.evaluate("card => getComputedStyle(card).breakInside") == "avoid"
    assert page.locator(".panel").evaluate("panel => getComputedStyle(panel).position") == "static"


def test_a_server_that_forbids_scripts_is_told_of(demo: Path, opened: Opened, chromium: Browser) -> None:
    html, headers = demo.read_text(), {"Content-Security-Policy": "script-src 'self'"}
    with chromium.new_context() as context:
        page = context.new_page()
        page.route("**/*", lambda route: route.fulfill(body=html, headers=headers, content_type="text/html"))
        page.goto("http://report.test/")
        expect(page.locator("#not-run")).to_be_visible()
        expect(page.locator("#not-run")).to_contain_text("Content-Security-Policy")
    expect(opened(demo).locator("#not-run")).to_have_count(0)


@pytest.mark.parametrize("width", [320, 375])
def test_a_phone_shows_all_of_why_it_is_an_export(demo: Path, opened: Opened, width: int) -> None:
    page = opened(demo, width, 700)
    move(page, "Stability", 40)
    why = page.locator("#command-why")
    expect(why).to_contain_text("made with NMS")
    assert why.evaluate("why => why.scrollHeight <= why.clientHeight")
    assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize(("width", "height", "position"), [(667, 375, "static"), (640, 900, "sticky")])
def test_the_sliders_leave_room_in_a_low_window(
    demo: Path, opened: Opened, width: int, height: int, position: str
) -> None:
    page = opened(demo, width, height)
    assert page.locator(".panel").evaluate("panel => getComputedStyle(panel).position") == position


def test_sentences_of_the_summary_are_apart(demo: Path, opened: Opened, tmp_path: Path) -> None:
    filtered, mask = str(tmp_path / "tight"), MaskOptions(pred_iou_thresh=0.95)
    filtered_dataset(FilterConfig(input=str(demo.parent), output=filtered, mask=mask))
    written_report(Preview(filtered, compare=str(demo.parent)))
    text = opened(tmp_path / "tight" / "report.html").locator("main").inner_text()
    assert (
        f"Made with pred_iou_thresh 0.95. tight and {demo.parent.name} differ in settings: pred_iou" in text
    )


def test_an_image_without_masks_has_no_table(opened: Opened, tmp_path: Path) -> None:
    labelled_photos(str(tmp_path / "photos"), str(tmp_path / "masks"))
    written_report(Preview(str(tmp_path / "masks")))
    page = opened(tmp_path / "masks" / "report.html")
    page.get_by_role("button", name="Enlarge none.png").click()
    expect(page.locator("dialog .readout")).to_have_text("No masks.")
    expect(page.locator("dialog table")).to_have_count(0)
