"""Which numbers and positions callers may pass, and the errors for all others."""

from typing import Any

import numpy as np
import pytest
import torch

from sam_core.arguments import positions_of, whole_number, whole_numbers


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ([3, 0, -1], [3, 0, 4]),
        ((0, 1), [0, 1]),
        (range(4, 1, -2), [4, 2]),
        (slice(1, None, 3), [1, 4]),
        (np.array([4, 0, -5], np.int8), [4, 0, 0]),
        (np.array([4], np.uint64), [4]),
        (torch.tensor([2, -2]), [2, 3]),
        ([np.int64(1), torch.tensor(2)], [1, 2]),
        ([True, False, False, False, True], [0, 4]),
        (np.arange(5) > 2, [3, 4]),
        (torch.arange(5) > 2, [3, 4]),
        ((), []),
        ([], []),
        (range(0), []),
        (np.array([]), []),
        (np.zeros(5, np.bool_), []),
    ],
)
def test_positions_are_had_of_whatever_lists_them(index: Any, expected: list[int]) -> None:
    positions = positions_of(index, 5)
    assert positions.dtype == np.int64
    assert positions.tolist() == expected


def test_positions_are_no_view_of_what_was_given() -> None:
    index = np.array([1, 2])
    positions = positions_of(index, 5)
    index[:] = 4
    assert positions.tolist() == [1, 2]


NO_POSITIONS = [
    *(0, np.int64(0), True, False, None, "a", "", b"a", 1.5, {0}, {0: 1}, set(), iter([0])),
    *([1.5], ["a"], [None], [[0]], [[0], [0, 1]], slice("a"), torch.tensor(1)),
    *(np.zeros((0, 4), np.int64), np.zeros((2, 2), np.int64), torch.ones(2, requires_grad=True)),
]


@pytest.mark.parametrize("index", NO_POSITIONS, ids=lambda index: type(index).__name__)
def test_what_lists_no_positions_is_refused(index: Any) -> None:
    with pytest.raises(TypeError, match="by a list of positions or of one bool per mask, not by "):
        positions_of(index, 5)


@pytest.mark.parametrize(
    ("index", "sentence"),
    [
        ([5], "there is no mask 5 among 5"),
        (np.array([0, -6]), "there is no mask -6 among 5"),
        (np.array([2**64 - 1], np.uint64), "there is no mask 18446744073709551615 among 5"),
        ([True], "1 bools are given for 5 masks; give one for each mask"),
        (np.zeros(0, np.bool_), "0 bools are given for 5 masks"),
        (torch.ones(6, dtype=torch.bool), "6 bools are given for 5 masks"),
    ],
)
def test_positions_that_there_are_not_are_refused(index: Any, sentence: str) -> None:
    with pytest.raises(IndexError, match=sentence):
        positions_of(index, 5)


@pytest.mark.parametrize(
    "numbers", [(1, 2), [1.0, 2], np.array([1, 2]), np.array([1.0, 2.0]), torch.tensor([1.0, 2.0])]
)
def test_whole_numbers_are_had_of_ints_floats_arrays_and_tensors(numbers: Any) -> None:
    whole = whole_numbers(numbers, 2, "the size")
    assert whole == (1, 2)
    assert set(map(type, whole)) == {int}


NO_TWO_NUMBERS = [
    *(64, True, None, (), (5,), (5, 5, 5), (5.5, 5), (5, float("nan")), (5, float("inf"))),
    *("ab", "12", (None, 5), {1, 2}, {1: 1, 2: 2}, [[1], [2]], (torch.ones(2), torch.ones(2))),
]


@pytest.mark.parametrize("numbers", NO_TWO_NUMBERS, ids=repr)
def test_what_is_not_so_many_whole_numbers_is_refused(numbers: Any) -> None:
    with pytest.raises(ValueError, match=r"the size is .*; give 2 whole numbers"):
        whole_numbers(numbers, 2, "the size")


def test_one_whole_number() -> None:
    assert [whole_number(one, "x") for one in (3, np.int8(-3), torch.tensor(4))] == [3, -3, 4]
    for wrong in (None, "a", 1.5, [0], np.array([0]), np.array([0, 1])):
        with pytest.raises(TypeError, match=r"the position is .*; give one whole number"):
            whole_number(wrong, "the position")
