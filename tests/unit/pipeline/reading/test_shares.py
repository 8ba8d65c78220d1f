"""Each image is read exactly once, by any number of readers, wherever they stop."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reading.order import EpochOrder
from pipeline.reading.shares import Shares, Spans, rows_in

COUNTS = st.integers(1, 5)
BATCH = st.integers(1, 7)
SHARDS = st.lists(st.integers(0, 9), max_size=12)


def places(spans: Spans) -> list[int]:
    return [place for start, stop in spans for place in range(start, stop)]


def batches_of(shares: Shares, rank: int, batch_rows: int, drop_last: bool = False) -> list[list[int]]:
    """The batches of a DataLoader: one of each lane in turn, without lanes that have ended."""
    lanes = [places(lane) for lane in shares.lanes[rank]]
    cut = [[lane[at : at + batch_rows] for at in range(0, len(lane), batch_rows)] for lane in lanes]
    if drop_last:
        cut = [[batch for batch in lane if len(batch) == batch_rows] for lane in cut]
    rounds = max(map(len, cut), default=0)
    return [lane[turn] for turn in range(rounds) for lane in cut if turn < len(lane)]


@given(st.integers(0, 80), COUNTS, COUNTS)
def test_shares_hold_every_place_once_and_differ_by_one_at_most(rows: int, ranks: int, lanes: int) -> None:
    shares = Shares.cut(((0, rows),), ranks, lanes)
    every = [place for rank in shares.lanes for lane in rank for place in places(lane)]
    assert sorted(every) == list(range(rows))
    sizes = [rows_in(lane) for rank in shares.lanes for lane in rank]
    assert max(sizes) - min(sizes) <= 1
    equal = Shares.cut(((0, rows),), ranks, lanes, equal=True)
    assert {rows_in(lane) for rank in equal.lanes for lane in rank} == {rows // (ranks * lanes)}


@given(st.integers(0, 80), COUNTS, COUNTS, BATCH, st.booleans(), st.data())
def test_gone_on_with_as_before_the_batches_are_the_same(
    rows: int, ranks: int, lanes: int, batch_rows: int, drop_last: bool, data: st.DataObject
) -> None:
    shares = Shares.cut(((0, rows),), ranks, lanes)
    for rank in range(ranks):
        whole = batches_of(shares, rank, batch_rows, drop_last)
        assert len(whole) == shares.batches(rank, batch_rows, drop_last)
        stop = data.draw(st.integers(0, len(whole)))
        again = Shares.from_json(shares.after(stop, batch_rows, drop_last).to_json())
        assert batches_of(again, rank, batch_rows, drop_last) == whole[stop:]


@given(
    SHARDS,
    st.integers(0, 3),
    st.integers(1, 12),
    st.booleans(),
    st.lists(st.tuples(COUNTS, COUNTS, BATCH), min_size=1, max_size=4),
    st.data(),
)
def test_stopped_and_gone_on_with_by_others_every_image_comes_once(
    shards: list[int],
    epoch: int,
    window: int,
    shuffle: bool,
    crews: list[tuple[int, int, int]],
    data: st.DataObject,
) -> None:
    starts = np.concatenate([[0], np.cumsum(shards, dtype=np.int64)])
    order = EpochOrder(starts, shuffle, 7, epoch, window)
    left: Spans = ((0, int(starts[-1])),)
    given: list[int] = []
    for crew, (ranks, lanes, batch_rows) in enumerate(crews):
        shares = Shares.cut(left, ranks, lanes)
        each = [batches_of(shares, rank, batch_rows) for rank in range(ranks)]
        is_last = crew == len(crews) - 1
        stop = max(map(len, each)) if is_last else data.draw(st.integers(0, max(map(len, each))))
        given += [place for batches in each for batch in batches[:stop] for place in batch]
        left = shares.after(stop, batch_rows).left()
    assert left == ()
    assert sorted(given) == list(range(sum(shards)))
    rows = [
        number for place in given for part in order.rows([(place, place + 1)]) for number in part.tolist()
    ]
    assert sorted(rows) == list(range(sum(shards)))
