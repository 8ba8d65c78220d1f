"""Parallel crops give the results of one at a time, in order, and none is made long before its turn."""

import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import pytest
import torch

from sam_core import crop_streams
from sam_core.crop_streams import CROPS_AT_ONCE, mapped, mapped_ahead

CPU = torch.device("cpu")


def test_a_cpu_does_one_item_after_the_other_in_its_own_thread() -> None:
    threads = list(mapped(lambda _: threading.current_thread(), range(3), CPU))
    assert set(threads) == {threading.current_thread()}


def test_answers_come_in_order_although_the_first_ends_last() -> None:
    second_ended = threading.Event()

    def call(item: int) -> int:
        if item == 0:
            assert second_ended.wait(timeout=30)  # returns only if another call runs meanwhile
        if item == 1:
            second_ended.set()
        return 10 * item

    assert list(mapped_ahead(call, range(7), CPU)) == [0, 10, 20, 30, 40, 50, 60]
    assert list(mapped_ahead(call, [], CPU)) == []


def test_the_callers_thread_makes_the_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads that need the device's streams at the same time would make them twice."""
    makers = list[threading.Thread]()

    def noted() -> "SimpleQueue[Any]":
        makers.append(threading.current_thread())
        return SimpleQueue()

    monkeypatch.setattr(crop_streams, "SimpleQueue", noted)
    crop_streams._free_streams.cache_clear()
    assert list(mapped_ahead(lambda item: item, range(5), CPU)) == [0, 1, 2, 3, 4]
    assert makers == [threading.current_thread()]


def test_items_are_made_a_few_ahead_of_the_answers() -> None:
    made = list[int]()

    def items() -> Iterator[int]:
        for item in range(50):
            made.append(item)
            yield item

    for answer in mapped_ahead(lambda item: item, items(), CPU):
        assert len(made) <= answer + CROPS_AT_ONCE + 1


def test_a_fault_is_raised_in_its_turn_and_ends_the_rest() -> None:
    called = list[int]()

    def call(item: int) -> int:
        called.append(item)
        if item == 1:
            raise ValueError("item 1")
        return item

    answers = mapped_ahead(call, range(100), CPU)
    assert next(answers) == 0
    with pytest.raises(ValueError, match="item 1"):
        list(answers)
    assert len(called) <= 2 + 2 * CROPS_AT_ONCE
    assert list(mapped_ahead(lambda item: item, range(3), CPU)) == [0, 1, 2]  # no stream was lost
