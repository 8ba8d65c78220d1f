"""Makes the page: one HTML file with styles, program, photos and masks in it, which uses no network.

Data of the dataset get in only in two ways: through the template, which escapes them, and as JSON that holds
no `<`. The policy in the page's head forbids everything but this program and these styles.
"""

import base64
import json
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.report.destination import MARKER
from pipeline.report.summary import HEIGHT, WIDTH, Summary, percent

STYLES = ("look.css", "summary.css", "sliders.css", "gallery.css", "print.css")
# In the order in which they build on each other.
PROGRAM = (
    "elements.js",
    "masks.js",
    "paint.js",
    "thresholds.js",
    "stage.js",
    "card.js",
    "large_view.js",
    "main.js",
)


def page(about: Summary, data: dict[str, Any]) -> str:
    """The whole HTML page."""
    styles = "\n".join(map(_source, STYLES))
    program = f'"use strict";\n(() => {{\n{"".join(map(_source, PROGRAM))}}})();'
    environment = Environment(
        loader=PackageLoader("pipeline.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    return environment.get_template("report.html").render(
        about=about,
        data=Markup(embedded_json(data)),  # noqa: S704  # holds no character that HTML knows
        marker=Markup(MARKER),  # noqa: S704  # a constant
        policy=_policy(styles, program),
        styles=Markup(styles),  # noqa: S704  # our own file
        program=Markup(program),  # noqa: S704  # our own files
        plot_width=WIDTH,
        plot_height=HEIGHT,
    )


def embedded_json(data: Any) -> str:
    """JSON that may stand inside a script element: whatever its texts hold, they do not close the tag."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def _policy(styles: str, program: str) -> str:
    return (
        f"default-src 'none'; script-src {_hash(program)}; style-src {_hash(styles)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'"


@cache
def _source(name: str) -> str:
    return (files("pipeline.report") / "page" / name).read_text(encoding="utf-8")
