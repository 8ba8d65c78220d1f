"""The user docs name every option, reason and column that the code has."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
from labelled_photos import labelled_photos

from jobs.options.option_table import option_page
from pipeline.errors import Reason
from pipeline.output.dataset import Dataset
from pipeline.output.format.schema import SCHEMA, SCHEMA_WITH_VECTORS
from sam_label.api_page import api_page

DOCS = Path(__file__).parents[2] / "docs"


def test_every_reason_is_documented() -> None:
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    assert [reason for reason in Reason if f"| `{reason}` |" not in page] == []


def test_sentences_that_are_quoted_are_those_of_the_code() -> None:
    page = (DOCS / "errors.md").read_text(encoding="utf-8")
    code = "".join(path.read_text(encoding="utf-8") for path in (DOCS.parent / "pipeline").rglob("*.py"))
    quoted = re.findall(r'^\| "([^"]+)"', page, re.MULTILINE)
    assert len(quoted) == 6
    assert [words for words in quoted if words not in code] == []


def test_the_columns_are_documented_row_by_row(tmp_path: Path) -> None:
    page = (DOCS / "dataset.md").read_text(encoding="utf-8")
    section = page.partition("## Schema")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| `(\S+)` \|.*\| ([^|]+) \|$", section, re.MULTILINE)
    assert [(name, kind) for name, kind, _ in rows] == [(field.name, _kind(field.type)) for field in SCHEMA]
    added = re.findall(r"^\| `(\w+)` \| `(\S*halffloat\S*)` \|.*\| if failed \|$", page, re.MULTILINE)
    assert added == [(field.name, _kind(field.type)) for field in list(SCHEMA_WITH_VECTORS)[len(SCHEMA) :]]
    labelled_photos(str(tmp_path / "photos"), str(tmp_path / "masks"))
    table = Dataset.at(str(tmp_path / "masks")).table()
    is_failed = np.array(table["status"].to_pylist()) == "failed"
    assert 0 < is_failed.sum() < len(is_failed)
    for name, _, when in rows:
        assert SCHEMA.field(name).nullable == (when != "never"), name
        is_null = np.asarray(table[name].is_null())
        expected = {"never": ~is_failed & is_failed, "if failed": is_failed, "if ok": ~is_failed}
        # the photos have 8 bits a sample
        assert np.array_equal(is_null, expected.get(when, is_failed | ~is_failed)), name


def _kind(kind: pa.DataType) -> str:
    """An Arrow type as the page writes it."""
    if pa.types.is_fixed_size_list(kind):
        return f"{kind.value_type}[{kind.list_size}]"
    return f"list<{_kind(kind.value_type)}>" if pa.types.is_list(kind) else str(kind)


def test_the_page_of_options_is_up_to_date() -> None:
    assert (DOCS / "options.md").read_text(encoding="utf-8") == option_page(), "run `make fix`"


def test_the_page_of_names_is_up_to_date() -> None:
    assert (DOCS / "api.md").read_text(encoding="utf-8") == api_page(), "run `make fix`"
