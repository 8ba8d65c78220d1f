"""What a run says when it ends early, and when failures are too many."""

import pytest

from pipeline.cluster.attempts import Tally
from pipeline.cluster.supervise import _refuse_failures, told
from pipeline.errors import OutputLocked, Reason, SamLabelError, StoreError, TooManyFailures


class WrappedError(Exception):
    """As Ray's: the fault of a task in an attribute."""

    def __init__(self, text: str, cause: Exception | None) -> None:
        super().__init__(text)
        self.cause = cause


def test_an_error_of_ours_is_found_in_its_wrapping() -> None:
    ours = StoreError(Reason.SOURCE_UNAVAILABLE, "the disk is full")
    outer = RuntimeError("more pages")
    outer.__cause__ = WrappedError("pages of traceback", ours)
    assert told(outer) is ours


def test_advice_that_ray_appends_to_an_error_of_ours_is_left_out() -> None:
    ours = StoreError(Reason.SOURCE_UNAVAILABLE, "the disk is full")
    ours.args = (
        f"{ours.args[0]}\nFailed to apply UDF transform after 1/1 attempts.\nTo change retry attempts",
    )
    assert str(told(ours)) == "the disk is full"


def test_an_error_of_ours_that_had_a_cause_is_the_one_to_tell() -> None:
    ours = OutputLocked("another run has the output")
    ours.__cause__ = OSError("a lower one")
    assert told(WrappedError("pages", ours)) is ours


def test_anything_else_is_told_by_its_last_line() -> None:
    found = told(WrappedError("Traceback\n  many lines\nValueError: no such column", None))
    assert type(found) is SamLabelError
    assert str(found).startswith("labelling stopped: ValueError: no such column; what was done is committed")


@pytest.mark.parametrize(
    ("tally", "most", "message"),
    [
        (Tally(5, 3, {"EMPTY": 3}), 2, "3 images failed, more than the 2"),
        (Tally(0, 1, {"EMPTY": 1}), 0, "1 images failed, more than the 0"),
        (Tally(9, 11, {"FORBIDDEN": 11}), None, "11 of the first 20 images failed with FORBIDDEN"),
    ],
)
def test_too_many_failures(tally: Tally, most: int | None, message: str) -> None:
    with pytest.raises(TooManyFailures, match=message):
        _refuse_failures(tally, "masks", most)


def test_a_store_that_is_gone_ends_a_run_that_went_well() -> None:
    tally = Tally(1000, 20, {"SOURCE_UNAVAILABLE": 20}, unavailable_in_a_row=20)
    with pytest.raises(
        StoreError, match=r"gave none of the last 20 images; .*sam-label retry masks --error SOURCE"
    ):
        _refuse_failures(tally, "masks", None)


@pytest.mark.parametrize(
    ("tally", "most"),
    [
        (Tally(5, 2, {"EMPTY": 2}), 2),
        (Tally(0, 19, {"FORBIDDEN": 19}), None),  # too early to judge
        (Tally(10, 10, {"FORBIDDEN": 10}), None),
        (Tally(1000, 19, {"SOURCE_UNAVAILABLE": 19}, unavailable_in_a_row=19), None),
        (Tally(0, 500, {"NOT_AN_IMAGE": 500}), None),  # each image's own fault, without a limit
    ],
)
def test_failures_that_are_not_too_many(tally: Tally, most: int | None) -> None:
    _refuse_failures(tally, "masks", most)
