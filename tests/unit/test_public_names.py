"""What other people's code may import, pinned: a name that goes away breaks somebody."""

from pathlib import Path

import sam_core
from jobs.option_table import option_page


def test_the_drop_in_names_stand() -> None:
    assert sorted(sam_core.__all__) == [
        "SamAutomaticMaskGenerator",
        "SamPredictor",
        "__version__",
        "sam_model_registry",
    ]
    for name in sam_core.__all__:
        assert getattr(sam_core, name) is not None


def test_the_page_of_options_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs" / "options.md"
    assert page.read_text(encoding="utf-8") == option_page(), "run `make fix`"
