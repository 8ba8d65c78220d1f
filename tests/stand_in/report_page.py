"""A report's page in a browser: its canvases and sliders, and hostile file names that it must escape."""

from playwright.sync_api import Locator, Page

HOSTILE = [
    "</script><script>alert(1)</script>.jpg",
    "<img src=x onerror=alert(1)>.jpg",
    '" onload="alert(1)" x="\'`${alert(1)}{{ 7*7 }}.jpg',
    "javascript:alert(1)\u202e\u2028gpj.exe",
]


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
    """Scrolls to a canvas and waits until it is painted."""
    canvas = page.locator("canvas[role=slider]").nth(place)
    canvas.scroll_into_view_if_needed()
    page.wait_for_function("c => c.width !== 300", arg=canvas.element_handle())
    return canvas


def move(page: Page, name: str, place: int) -> None:
    page.get_by_role("slider", name=name, exact=True).fill(str(place))
