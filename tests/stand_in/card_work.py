"""Tracks the order of a card's work: streams, events, and which step has used which memory.

Each stream counts its operations. A clock holds for each stream how many of them have ended when something
else begins. A new operation comes after all earlier work of its stream, after the events that the stream has
waited for, and after what its thread has waited for. A thread does not know of another thread's events, in
whatever order they happened to run; all threads know of `synchronize`.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

Clock = Counter[int]  # `|` takes the later of two
UNKNOWN = 0x7F  # every byte of pinned memory that a copy has not reached


class Stream:
    """A queue of work that runs in order."""

    def __init__(self, work: "CardWork", number: int) -> None:
        self._work, self.cuda_stream, self.clock = work, number, Clock({number: 0})

    def record_event(self) -> "Event":
        """An event after all work queued in the stream so far."""
        return Event(self._work, Clock(self.clock))

    def wait_event(self, event: "Event") -> None:
        """Later work of the stream comes after the event."""
        self.clock |= event.clock


@dataclass(frozen=True)
class Event:
    """A place in a stream."""

    work: "CardWork"
    clock: Clock

    def synchronize(self) -> None:
        """Makes the host wait for the event."""
        self.work.host_waits(self.clock, "an event")


class Memory:
    """Memory that a step allocated on the card: once freed, the step's stream may reuse it at once."""

    def __init__(self, work: "CardWork", step: "Step") -> None:
        self._work = work
        self.written = self._taken = step
        self.read: dict[int, Step] = {}

    def __del__(self) -> None:
        with self._work.lock:
            seen = self._work.ended | self._taken.stream.clock
            for step in (self.written, *self.read.values()):
                if step.time > seen[step.stream.cuda_stream]:
                    self._work.faults.append(f"what {self._taken} has taken is freed while {step} uses it")


@dataclass(frozen=True)
class Step:
    """One operation, given to a stream."""

    name: str
    stream: Stream
    time: int

    def __str__(self) -> str:
        return f"{self.name} in stream {self.stream.cuda_stream}"

    def comes_after(self, other: "Step") -> bool:
        """Whether the other has ended when this one begins."""
        return other.stream is self.stream or self.stream.clock[other.stream.cuda_stream] >= other.time


@dataclass(frozen=True)
class _CopyUnderWay:
    step: Step
    host: torch.Tensor
    answer: torch.Tensor


class CardWork:
    """All work of a card: each operation runs at once, and faults of a real card are recorded."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.faults: list[str] = []
        self.waits: list[str] = []  # of any thread
        self.ended = Clock()  # what some thread has waited for
        self._known_to_all = Clock()
        self._streams: list[Stream] = []
        self._first = self.new_stream()
        self._thread = threading.local()
        self._under_way: list[_CopyUnderWay] = []

    def new_stream(self, device: Any = None) -> Stream:
        """One more stream."""
        self._streams.append(Stream(self, len(self._streams)))
        return self._streams[-1]

    @property
    def stream(self) -> Stream:
        """The current stream of the thread."""
        return getattr(self._thread, "stream", self._first)

    @stream.setter
    def stream(self, stream: Stream) -> None:
        self._thread.stream = stream

    @property
    def device(self) -> torch.device:
        """The current device of the thread, on which kernels are started."""
        return getattr(self._thread, "device", torch.device("cuda", 0))

    @contextmanager
    def made_current(self, device: torch.device) -> Iterator[None]:
        """Changes the current device of the thread."""
        before, self._thread.device = self.device, device
        try:
            yield
        finally:
            self._thread.device = before

    def step(self, name: str) -> Step:
        """The next operation of the thread's stream."""
        stream = self.stream
        stream.clock |= self._known_to_all | getattr(self._thread, "known", Clock())
        stream.clock[stream.cuda_stream] += 1
        return Step(name, stream, stream.clock[stream.cuda_stream])

    def reads(self, step: Step, memory: Memory) -> None:
        """Records a fault if the memory need not have been written yet."""
        if not step.comes_after(memory.written):
            self.faults.append(f"{step} reads what {memory.written} writes")
        memory.read[step.stream.cuda_stream] = step

    def writes(self, step: Step, memory: Memory) -> None:
        """Records a fault if earlier users of the memory need not have ended."""
        for other in (memory.written, *memory.read.values()):
            if not step.comes_after(other):
                self.faults.append(f"{step} writes what {other} uses")
        memory.written, memory.read = step, {}

    def copies_later(self, step: Step, host: torch.Tensor, answer: torch.Tensor) -> None:
        """Fills the copy's memory with UNKNOWN until the host has waited for the copy."""
        if host.numel():
            host.view(-1).view(torch.uint8).fill_(UNKNOWN)
        self._under_way.append(_CopyUnderWay(step, host, answer))

    def synchronize(self) -> None:
        """The host waits for all work of all streams."""
        for stream in self._streams:
            self._known_to_all |= stream.clock
        self.host_waits(self._known_to_all, "synchronize")

    def host_waits(self, clock: Clock, why: str) -> None:
        """The thread waits for the work up to `clock`."""
        with self.lock:
            self.waits.append(why)
            self.ended |= clock
            self._thread.known = getattr(self._thread, "known", Clock()) | clock
            copies, self._under_way = self._under_way, []
            for copy in copies:
                if self.ended[copy.step.stream.cuda_stream] >= copy.step.time:
                    copy.host.copy_(copy.answer)
                else:
                    self._under_way.append(copy)
