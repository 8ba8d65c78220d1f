"""When failures end a run: too many, or with a cause that would make the other images fail too."""

import pytest

from pipeline.cluster.attempts import Tally
from pipeline.cluster.failures import COMMON_CAUSES, refuse_failures
from pipeline.errors import Reason, StoreError, TooManyFailures

MANY = 10_000  # images of the run, of which the tally has seen the first


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
        refuse_failures(tally, MANY, "masks", most)


def test_a_store_that_is_gone_ends_a_run_that_went_well() -> None:
    tally = Tally(1000, 20, {"SOURCE_UNAVAILABLE": 20}, unavailable_in_a_row=20)
    with pytest.raises(
        StoreError, match=r"delivered none of the last 20 images; .*sam-label retry masks --error SOURCE"
    ):
        refuse_failures(tally, MANY, "masks", None)


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
    refuse_failures(tally, MANY, "masks", most)


@pytest.mark.parametrize("reason", COMMON_CAUSES)
def test_a_common_cause_is_seen_in_the_first_twenty(reason: Reason) -> None:
    refuse_failures(Tally(0, 19, {reason: 19}), MANY, "masks", None)
    with pytest.raises(TooManyFailures, match=f"20 of the first 20 images failed with {reason}") as caught:
        refuse_failures(Tally(0, 20, {reason: 20}), MANY, "masks", None)
    assert caught.value.exit_code == 3


def test_a_run_of_few_images_that_all_fail_for_one_cause_is_no_success() -> None:
    refuse_failures(Tally(0, 9, {"FORBIDDEN": 9}), 10, "masks", None)
    refuse_failures(Tally(1, 9, {"FORBIDDEN": 9}), 10, "masks", None)
    refuse_failures(Tally(0, 10, {"TRUNCATED": 10}), 10, "masks", None)
    refuse_failures(Tally(0, 0), 0, "masks", None)
    with pytest.raises(
        TooManyFailures, match=r"10 of 10 images failed with FORBIDDEN.*sam-label retry masks"
    ):
        refuse_failures(Tally(0, 10, {"FORBIDDEN": 10}), 10, "masks", None)
