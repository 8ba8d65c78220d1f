"""Reports, and one Chromium for a file's tests: a thread can have only one while Playwright's loop runs."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from demo_dataset import Upright, recorded_masks, write_demo
from playwright.sync_api import Browser, Page, expect, sync_playwright
from report_page import HOSTILE

from pipeline.output.format.identity import Identity
from pipeline.output.format.manifest import manifest_row, rows_of
from pipeline.output.format.schema import ok_row, table_of
from pipeline.output.shards import write_shards
from pipeline.output.writer import Listing, open_output
from pipeline.report.report import Preview, written_report
from pipeline.store.storage import Store
from sam_core.options import MaskOptions

PATIENCE_MS = 30_000  # no test fails because a machine is busy
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LOOSE = MaskOptions(box_nms_thresh=1, crop_nms_thresh=1)


def write_rows(output: Path, options: MaskOptions, keep: slice, names: list[str]) -> None:
    """A dataset with some of the coins' masks, for images with these names that do not exist."""
    masks = recorded_masks("coins")
    masks = masks.select(range(*keep.indices(len(masks))))
    images = [manifest_row(f"file:///nowhere/{name}", 1, "1") for name in names]
    store = Store.at(str(output))
    with open_output(
        store, Identity("vit_t", "0" * 64, options), Listing("file:///nowhere", lambda: iter(images))
    ) as run:
        rows = [ok_row(row._asdict(), Upright(), masks) for row in rows_of(run.dataset.pending())]
        write_shards(store, f"{run.run}-000000", table_of(rows), {})


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the six sample photos; 167 masks, made with NMS."""
    output = tmp_path_factory.mktemp("demo")
    write_demo(str(output))
    written_report(Preview(str(output)))
    return output / "report.html"


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two datasets with hostile names, with 30 and 32 masks, of which 27 are the same."""
    folder = tmp_path_factory.mktemp("pair")
    write_rows(folder / "old", LOOSE, slice(0, 30), HOSTILE)
    write_rows(folder / "new", LOOSE, slice(3, 35), HOSTILE)
    written_report(Preview(str(folder / "new"), compare=str(folder / "old")))
    return folder / "new" / "report.html"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium")
    assert path, "the tests of the report need a browser: apt-get install chromium"
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """A function that opens a file's page from the disk. The page must not log errors or use the network."""
    contexts, faults = [], []

    def asked(url: str) -> None:
        if not url.startswith(("file:", "data:")):
            faults.append(f"asked {url}")

    def of(file: Path, width: int = 1280, height: int = 900, look: str = "light") -> Page:
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=look, has_touch=True
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda message: faults.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: asked(request.url))
        page.on("dialog", lambda dialog: faults.append(f"dialog: {dialog.message}"))
        page.goto(file.as_uri())
        return page

    yield of
    for context in contexts:
        context.close()
    assert faults == []
