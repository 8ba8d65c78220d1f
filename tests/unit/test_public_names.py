"""What other people's code may import, pinned: a name that goes away breaks somebody."""

from pathlib import Path

import sam_core
from jobs.option_table import option_page
from pipeline.reason import Reason
from pipeline.schema import SCHEMA

DOCS = Path(__file__).parents[2] / "docs"


def test_the_drop_in_names_stand() -> None:
    assert sorted(sam_core.__all__) == [
        "SamAutomaticMaskGenerator",
        "SamPredictor",
        "__version__",
        "sam_model_registry",
    ]
    for name in sam_core.__all__:
        assert getattr(sam_core, name) is not None


def test_every_reason_is_documented() -> None:
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    assert [reason for reason in Reason if f"| `{reason}` |" not in page] == []


def test_every_column_is_documented() -> None:
    page = (DOCS / "dataset.md").read_text(encoding="utf-8")
    assert [name for name in SCHEMA.names if f"`{name}`" not in page] == []


def test_the_page_of_options_is_up_to_date() -> None:
    assert (DOCS / "options.md").read_text(encoding="utf-8") == option_page(), "run `make fix`"
