"""The user docs name every option, reason and column that the code has."""

from pathlib import Path

from jobs.options.option_table import option_page
from pipeline.errors import Reason
from pipeline.output.format.schema import SCHEMA
from sam_label.api_page import api_page

DOCS = Path(__file__).parents[2] / "docs"


def test_every_reason_is_documented() -> None:
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    assert [reason for reason in Reason if f"| `{reason}` |" not in page] == []


def test_every_column_is_documented() -> None:
    page = (DOCS / "dataset.md").read_text(encoding="utf-8")
    assert [name for name in SCHEMA.names if f"`{name}`" not in page] == []


def test_the_page_of_options_is_up_to_date() -> None:
    assert (DOCS / "options.md").read_text(encoding="utf-8") == option_page(), "run `make fix`"


def test_the_page_of_names_is_up_to_date() -> None:
    assert (DOCS / "api.md").read_text(encoding="utf-8") == api_page(), "run `make fix`"
