"""The order of an epoch."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reading.order import EpochOrder

SHARDS = st.lists(st.integers(0, 9), max_size=12)


def starts_of(shards: list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(shards, dtype=np.int64)])


def every_row(order: EpochOrder) -> list[int]:
    total = int(order.starts[-1])
    return [number for part in order.rows([(0, total)]) for number in part.tolist()]


@given(SHARDS, st.integers(0, 5), st.integers(0, 5), st.integers(1, 30))
def test_an_order_has_every_row_once_and_any_part_of_it_is_that_part(
    shards: list[int], seed: int, epoch: int, window: int
) -> None:
    order = EpochOrder(starts_of(shards), True, seed, epoch, window)
    whole = every_row(order)
    assert sorted(whole) == list(range(sum(shards)))
    third = sum(shards) // 3
    parts = [number for part in order.rows([(third, 2 * third), (0, third)]) for number in part.tolist()]
    assert parts == whole[third : 2 * third] + whole[:third]


def test_a_window_holds_whole_neighbouring_shards() -> None:
    order = EpochOrder(starts_of([4] * 50), True, 1, 0, window_rows=10)
    rows = every_row(order)
    for start in range(0, 192, 12):
        assert len({row // 4 for row in rows[start : start + 12]}) == 3


def test_the_order_follows_from_seed_and_epoch_alone() -> None:
    starts = starts_of([5] * 20)
    orders = {
        (seed, epoch): tuple(every_row(EpochOrder(starts, True, seed, epoch, 4096)))
        for seed in (0, 1)
        for epoch in (0, 1)
    }
    assert len(set(orders.values())) == 4
    assert tuple(every_row(EpochOrder(starts, True, 0, 1, 4096))) == orders[0, 1]
    assert every_row(EpochOrder(starts, False, 0, 1, 4096)) == list(range(100))
