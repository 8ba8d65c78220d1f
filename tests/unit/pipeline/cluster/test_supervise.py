"""A run ends with the original error, even if Ray has wrapped it."""

from pipeline.cluster.supervise import own_error
from pipeline.errors import OutputLocked, Reason, SamLabelError, StoreError


class WrappedError(Exception):
    """Like Ray's error: the fault of a task is in an attribute."""

    def __init__(self, text: str, cause: Exception | None) -> None:
        super().__init__(text)
        self.cause = cause


def test_an_error_of_ours_is_found_in_its_wrapping() -> None:
    ours = StoreError(Reason.SOURCE_UNAVAILABLE, "the disk is full")
    outer = RuntimeError("more pages")
    outer.__cause__ = WrappedError("pages of traceback", ours)
    assert own_error(outer) is ours


def test_advice_that_ray_appends_to_an_error_of_ours_is_left_out() -> None:
    ours = StoreError(Reason.SOURCE_UNAVAILABLE, "the disk is full")
    ours.args = (
        f"{ours.args[0]}\nFailed to apply UDF transform after 1/1 attempts.\nTo change retry attempts",
    )
    assert str(own_error(ours)) == "the disk is full"


def test_an_error_of_ours_that_had_a_cause_is_the_one_that_counts() -> None:
    ours = OutputLocked("another run has the output")
    ours.__cause__ = OSError("a lower one")
    assert own_error(WrappedError("pages", ours)) is ours


def test_anything_else_gives_its_last_line() -> None:
    error = own_error(WrappedError("Traceback\n  many lines\nValueError: no such column", None))
    assert type(error) is SamLabelError
    assert str(error).startswith("labelling stopped: ValueError: no such column; run the same command again")
