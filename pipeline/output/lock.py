"""One writer at a time: numbered locks `_lock/<generation>.json`, each created only where it is absent.

The highest number holds the output, until it says that it is released. Taking over is creating the next
number, so of any that try at once the store lets one through, and an overtaken holder sees a higher number
than its own. A holder beats: it counts up in its own object. Whoever wants the output watches for that count
to move, by its own clock, so no two machines need to agree on the time. The generation also names the run.
"""

import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from pipeline.errors import OutputLocked, Reason, SamLabelError, StoreError, UsageError
from pipeline.output.commits import now, run_id
from pipeline.output.process_identity import ProcessIdentity, this_process
from pipeline.shutdown import in_the_time_left
from pipeline.store.disk import TEMPORARY
from pipeline.store.storage import Store

BEAT_S = 3.0  # a loser sees a beat and leaves well within 10 s
RELEASE_S = 3.0  # of the 30 s that an interrupted run has; a lock that is not released expires
EXPIRY_S = 30.0  # ten beats: a store's hiccup is not a death

_log = logging.getLogger("sam_label.output")


@dataclass(frozen=True)
class Holder:
    """What a lock object says."""

    generation: int
    process: ProcessIdentity
    word: str  # random: tells its own write from another's
    taken_at: str
    beat: int = 0
    released: bool = False

    @property
    def age_s(self) -> float:
        """Seconds since it took the output, by this machine's clock."""
        return (datetime.now(UTC) - datetime.fromisoformat(self.taken_at)).total_seconds()

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Holder":
        said = json.loads(data)
        return cls(**said | {"process": ProcessIdentity(**said["process"])})


class Lock:
    """A held output. `check` raises OutputLocked once another run has taken over."""

    def __init__(self, store: Store, holder: Holder, beat_s: float) -> None:
        self._store, self._holder, self._beat_s = store, holder, beat_s
        self._over = threading.Event()
        self._overtaken = False
        self._beating = threading.Thread(target=self._beat, name="sam-label lock", daemon=True)
        self._beating.start()

    @property
    def generation(self) -> int:
        return self._holder.generation

    def check(self) -> None:
        """Raises OutputLocked where a beat has found the lock lost; cheap, since it asks no store."""
        if self._overtaken:
            raise _overtaken(self._store, self.generation)

    def release(self) -> None:
        """Ends the beat and lets the next run in at once; one that hangs on its store is left to expire."""
        self._over.set()
        self._beating.join(RELEASE_S)
        if not self._overtaken and not self._beating.is_alive():
            self._publish(replace(self._holder, released=True))

    def _beat(self) -> None:
        while not self._over.wait(self._beat_s):
            try:
                if newest_generation(self._store) > self.generation:
                    self._overtaken = True
                    return
                self._publish(replace(self._holder, beat=self._holder.beat + 1))
            except StoreError:
                continue  # the next beat may reach the store; the run's own writes report the fault

    def _publish(self, holder: Holder) -> None:
        self._holder = holder
        self._store.publish(_name(holder.generation), holder.to_json())


@contextmanager
def held_lock(
    store: Store,
    beat_s: float = BEAT_S,
    expiry_s: float = EXPIRY_S,
    wait: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Lock]:
    """The output's lock, held until the end of the block.

    Raises: OutputLocked while another run beats; UsageError for a store that cannot put if absent.
    """
    _refuse_without_put_if_absent(store)
    lock = Lock(store, _taken(store, beat_s, expiry_s, wait, clock), beat_s)
    try:
        yield lock
    except BaseException:
        in_the_time_left(lock.release, RELEASE_S)
        raise
    try:
        lock.release()
    except StoreError as fault:  # what was done under the lock is done
        _log.warning(
            "the work on %s is done, but its lock could not be released (%s); the next run waits %g s for it",
            store.url,
            fault,
            expiry_s,
        )


def current_holder(store: Store) -> Holder | None:
    """Who holds the output, or held it and died; None where it is free."""
    newest = _newest(store)
    return newest if newest and not newest.released else None


def newest_generation(store: Store) -> int:
    """The number of the last lock ever taken, 0 where there was none."""
    names = (entry.name for page in store.list("_lock") for entry in page)
    numbers = (name.removeprefix("_lock/").removesuffix(".json") for name in names)
    return max((int(number) for number in numbers if number.isdecimal()), default=0)


def output_fault(fault: StoreError) -> SamLabelError:
    """A fault of the first look at an output: more often a wrong name than a broken store."""
    if fault.reason is Reason.SOURCE_UNAVAILABLE:
        return fault
    return UsageError(f"the output cannot be used: {fault}; name a place that can be written")


def refuse_if_overtaken(store: Store, generation: int) -> None:
    """Raises OutputLocked where a later run has taken the output: for writers in other processes."""
    if newest_generation(store) > generation:
        raise _overtaken(store, generation)


def _taken(
    store: Store, beat_s: float, expiry_s: float, wait: Callable[[float], None], clock: Callable[[], float]
) -> Holder:
    """The lock object that this process created, once the one before it is free or dead."""
    seen, seen_at = None, clock()
    while True:
        newest = _newest(store)
        if newest and not newest.released and not newest.process.is_dead_here:
            if seen and seen != newest:
                raise _locked(store, newest)
            if seen is None:
                seen, seen_at = newest, clock()
            if clock() - seen_at < expiry_s:
                wait(beat_s / 6)
                continue
        mine = Holder((newest.generation if newest else 0) + 1, this_process(), uuid.uuid4().hex, now())
        if store.create(_name(mine.generation), mine.to_json()):
            _delete_older(store, mine.generation)
            return mine
        seen = None
        if winner := _newest(store):
            raise _locked(store, winner)


def _newest(store: Store) -> Holder | None:
    while True:
        generation = newest_generation(store)
        if generation == 0:
            return None
        try:
            return Holder.from_json(store.read(_name(generation)))
        except StoreError as fault:
            if fault.reason is not Reason.SOURCE_MISSING:
                raise  # otherwise a newer holder has cleaned up since the listing


def _delete_older(store: Store, generation: int) -> None:
    """Removes older locks, and what was half written of them: a holder that is only asleep needs neither."""
    for page in store.list("_lock"):
        for entry in page:
            number = entry.name.removeprefix("_lock/").removeprefix(TEMPORARY).partition(".json")[0]
            if number.isdecimal() and int(number) < generation:
                store.delete(entry.name)


def _refuse_without_put_if_absent(store: Store) -> None:
    """Tries it: some stores take If-None-Match and overwrite all the same."""
    name = f"_lock/probe-{uuid.uuid4().hex}"
    try:
        created = store.create(name, b"first")
    except StoreError as fault:
        raise output_fault(fault) from fault
    try:
        if not created or store.create(name, b"second") or store.read(name) != b"first":
            raise UsageError(
                f"{store.url} overwrites a file that it was asked to create only if absent, so two runs "
                "could destroy each other's work; choose another disk or object store for the output"
            )
    finally:
        store.delete(name)


def _name(generation: int) -> str:
    return f"_lock/{generation:05d}.json"


def _locked(store: Store, holder: Holder) -> SamLabelError:
    return OutputLocked(
        f"{store.url} is being written by run {run_id(holder.generation)} on {holder.process.host}, pid "
        f"{holder.process.pid}, for {holder.age_s:.0f} s; wait for it or stop it, then run again"
    )


def _overtaken(store: Store, generation: int) -> SamLabelError:
    newest = _newest(store)
    who = (
        f"run {run_id(newest.generation)} on {newest.process.host}, pid {newest.process.pid}"
        if newest
        else "?"
    )
    return OutputLocked(
        f"run {run_id(generation)} was silent for so long that {who} took {store.url} over; what was "
        "committed before counts, and the other run does the rest"
    )
