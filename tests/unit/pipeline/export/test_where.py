"""`--where`: its choice, against Python's evaluation of the same expression; and its error messages."""

import numpy as np
import pytest
from drawn_masks import image_masks
from hypothesis import given
from hypothesis import strategies as st
from labelled_photos import blobs

from pipeline.errors import UsageError
from pipeline.export.where import parsed_where

MASKS = image_masks(blobs(1, 9, 20, 30), 20, 30)
NUMBERS = {
    "predicted_iou": MASKS.predicted_iou,
    "stability": MASKS.stability_score,
    "stability_score": MASKS.stability_score,
    "area": MASKS.area,
    "area_share": MASKS.area / 600,
    "num_masks": np.full(9, 9),
    "width": np.full(9, 30),
    "height": np.full(9, 20),
}
COMPARISONS = st.builds(
    lambda column, compare, number: f"{column} {compare} {number}",
    st.sampled_from(sorted(NUMBERS)),
    st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
    st.sampled_from(["0.9", "1", "1e2", ".25", "-3", "+20.5", "30"]),
)
TEXTS = st.recursive(
    COMPARISONS,
    lambda parts: st.builds(
        lambda left, join, right, brackets: (
            f"({left} {join} {right})" if brackets else f"{left} {join} {right}"
        ),
        parts,
        st.sampled_from(["and", "or"]),
        parts,
        st.booleans(),
    ),
    max_leaves=6,
)


@given(TEXTS)
def test_it_chooses_what_python_would(text: str) -> None:
    chosen = parsed_where(text)(MASKS)
    rows = [dict(zip(NUMBERS, values, strict=True)) for values in zip(*NUMBERS.values(), strict=True)]
    assert chosen.tolist() == [bool(eval(text, {}, row)) for row in rows]  # noqa: S307  the test's own text


@pytest.mark.parametrize(
    ("text", "chosen"),
    [("status = 'ok'", 9), ('status == "failed"', 0), ("status != failed or area=1", None)],
)
def test_a_status_is_a_text(text: str, chosen: int | None) -> None:
    if chosen is None:
        with pytest.raises(UsageError, match='expected a text such as "ok"'):
            parsed_where(text)
    else:
        assert parsed_where(text)(MASKS).sum() == chosen


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("predicted_ou > 1", "did you mean predicted_iou?"),
        ("iou > 1", "expected a column (columns: predicted_iou, "),
        ("area >", "at its end expected a number"),
        ("area 3", "at '3' expected one of < <= "),
        ("area > 3 4", "at '4' expected 'and', 'or' or the end"),
        ("(area > 3", "at its end expected ')'"),
        ("area > 'x'", "at \"'x'\" expected a number"),
        ("status > 'ok'", "status can only be compared by = or !="),
        ("area > 3; import os", "at '; import os' it cannot be read"),
        ("__import__('os').system('true')", "at \".system('true')\" it cannot be read"),
        ("__import__('os')", "expected a column"),
        ("", "at its end expected a column"),
        ("(" * 60 + "area > 3" + ")" * 60, "more than 50 nested brackets"),
    ],
)
def test_what_it_cannot_read_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UsageError) as fault:
        parsed_where(text)
    assert sentence in str(fault.value)
    assert str(fault.value).startswith("--where is ")
