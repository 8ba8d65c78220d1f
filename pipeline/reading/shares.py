"""Divides the places of an epoch's order among readers, and computes what is left after some batches.

A span is a start and a stop. Each rank has lanes, one for each worker process of its loader. Lanes give
batches in turn, and all ranks are assumed to have had equally many. What is left can go on with the same
ranks and lanes, which gives the same next batch, or be divided anew among another number of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import index

Span = tuple[int, int]
Spans = tuple[Span, ...]


@dataclass(frozen=True)
class Shares:
    """The spans of each rank's lanes, in the order in which the lanes give their next batches."""

    lanes: tuple[tuple[Spans, ...], ...]  # [rank][lane]

    @classmethod
    def cut(cls, spans: Spans, ranks: int, lanes: int, equal: bool = False) -> "Shares":
        """Divides the places into shares whose sizes differ by at most one, or not at all if `equal`.

        With `equal`, the last places are left out, fewer than there are lanes in all.
        """
        parts, rows = ranks * lanes, rows_in(spans)
        rows -= rows % parts if equal else 0
        edges = [rows * part // parts for part in range(parts + 1)]
        shares = [_slice(spans, edges[part], edges[part + 1]) for part in range(parts)]
        return cls(tuple(tuple(shares[rank * lanes : (rank + 1) * lanes]) for rank in range(ranks)))

    @property
    def ranks(self) -> int:
        return len(self.lanes)

    @property
    def lanes_a_rank(self) -> int:
        return len(self.lanes[0])

    def is_of(self, rows: int) -> bool:
        """Whether it could be what is left of an epoch of so many rows."""
        spans = sorted(span for rank in self.lanes for lane in rank for span in lane)
        edges = [0, *(edge for span in spans for edge in span), rows]
        return edges == sorted(edges) and len({len(rank) for rank in self.lanes}) == 1

    def left(self) -> Spans:
        """All places, in as few spans as possible."""
        joined: list[Span] = []
        for start, stop in sorted(span for rank in self.lanes for lane in rank for span in lane):
            if joined and joined[-1][1] == start:
                joined[-1] = (joined[-1][0], stop)
            else:
                joined.append((start, stop))
        return tuple(joined)

    def batches(self, rank: int, batch_rows: int, drop_last: bool = False) -> int:
        """How many batches a rank's loader gives."""
        return sum(_batches(lane, batch_rows, drop_last) for lane in self.lanes[rank])

    def after(self, batches: int, batch_rows: int, drop_last: bool = False) -> "Shares":
        """What is left after each rank had that many batches; the lane of the next one comes first."""
        return Shares(tuple(_rank_after(rank, batches, batch_rows, drop_last) for rank in self.lanes))

    def to_json(self) -> list[list[list[list[int]]]]:
        return [[[[*span] for span in lane] for lane in rank] for rank in self.lanes]

    @classmethod
    def from_json(cls, lanes: Sequence[Sequence[Sequence[Sequence[int]]]]) -> "Shares":
        """Raises: ValueError, TypeError."""
        return cls(
            tuple(tuple(tuple((index(a), index(b)) for a, b in lane) for lane in rank) for rank in lanes)
        )


def rows_in(spans: Spans) -> int:
    return sum(stop - start for start, stop in spans)


def _rank_after(
    lanes: tuple[Spans, ...], batches: int, batch_rows: int, drop_last: bool
) -> tuple[Spans, ...]:
    ready = [_batches(lane, batch_rows, drop_last) for lane in lanes]
    given, turn = [0] * len(lanes), 0
    whole_rounds = min(min(ready), batches // len(lanes))
    given = [whole_rounds] * len(lanes)
    for _ in range(min(batches, sum(ready)) - whole_rounds * len(lanes)):
        while given[turn] == ready[turn]:  # a lane that has ended is skipped
            turn = (turn + 1) % len(lanes)
        given[turn] += 1
        turn = (turn + 1) % len(lanes)
    rest = [
        _slice(lane, min(count * batch_rows, rows_in(lane)), rows_in(lane))
        for lane, count in zip(lanes, given, strict=True)
    ]
    return (*rest[turn:], *rest[:turn])


def _batches(lane: Spans, batch_rows: int, drop_last: bool) -> int:
    return rows_in(lane) // batch_rows if drop_last else -(-rows_in(lane) // batch_rows)


def _slice(spans: Spans, start: int, stop: int) -> Spans:
    """The places from the start-th to the stop-th of the spans."""
    inside, before = [], 0
    for first, last in spans:
        a, b = max(start - before, 0), min(stop - before, last - first)
        if a < b:
            inside.append((first + a, first + b))
        before += last - first
    return tuple(inside)
