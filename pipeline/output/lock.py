"""One writer at a time: numbered locks `_lock/<generation>.json`, each created only if it is absent.

The lock with the highest number holds the output until it says that it is released. A process takes the
output over by creating the next number. If several try at once, the store lets one through, and an overtaken
holder sees a higher number than its own. A holder beats: it increments a counter in its own lock. Whoever
wants the output watches that counter by its own clock, so no two machines need to agree on the time. The
generation also names the run.
"""

import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from pipeline.errors import OutputLocked, Reason, SamLabelError, StoreError, UsageError
from pipeline.output.commits import now
from pipeline.output.format.names import Kind, OwnFile, lock_name, own_file, run_id
from pipeline.output.process_identity import ProcessIdentity, this_process
from pipeline.output.sweep import SWEPT_FOLDERS, last_generation
from pipeline.output.usable import refuse_shared_folders, refuse_without_put_if_absent
from pipeline.shutdown import in_the_time_left
from pipeline.store.objects import Entry
from pipeline.store.storage import Store
from pipeline.store.uri import redacted

BEAT_S = 3.0  # a run that finds the output held sees a beat and gives up well within 10 s
RELEASE_S = 3.0  # of the 30 s that an interrupted run has; a lock that is not released expires
EXPIRY_S = 30.0  # ten beats, so that a short fault of the store does not look like a death

_log = logging.getLogger("sam_label.output")


@dataclass(frozen=True)
class Holder:
    """The content of a lock object."""

    generation: int
    process: ProcessIdentity
    word: str  # random, so that a process recognizes its own write
    taken_at: str
    beat: int = 0
    released: bool = False

    @property
    def age_s(self) -> float:
        """Seconds since it took the output, by this machine's clock; 0 if the holder's clock is ahead."""
        return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(self.taken_at)).total_seconds())

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes, generation: int) -> "Holder":
        """The content of the lock of this number. Raises: ValueError and others if it is no such lock."""
        fields = json.loads(data)
        if fields["generation"] != generation:
            raise ValueError(f"it is the lock number {fields['generation']!r:.20}")
        if datetime.fromisoformat(fields["taken_at"]).tzinfo is None:
            raise ValueError("taken_at has no time zone")
        process = ProcessIdentity(**fields["process"])
        # sentences name both, and somebody else may have written the lock
        process = replace(process, host=redacted(process.host), pid=int(process.pid))
        return cls(**fields | {"process": process})


class Lock:
    """A held output, until another run takes it over or somebody deletes the lock."""

    def __init__(self, store: Store, holder: Holder, beat_s: float) -> None:
        self._store, self._holder, self._beat_s = store, holder, beat_s
        self._over = threading.Event()
        self._lost: SamLabelError | None = None
        self._beating = threading.Thread(target=self._beat, name="sam-label lock", daemon=True)
        self._beating.start()

    @property
    def generation(self) -> int:
        return self._holder.generation

    @property
    def word(self) -> str:
        return self._holder.word

    @property
    def run(self) -> str:
        """The name of the run that holds the output."""
        return run_id(self.generation)

    def check(self) -> None:
        """Raises what a beat found if the lock is lost; cheap, since it asks no store."""
        if self._lost is not None:
            raise self._lost

    def refuse_if_lost(self) -> None:
        """As `check`, but asks the store now. Raises: as `refuse_without_lock`."""
        refuse_without_lock(self._store, self.generation, self.word)

    def release(self) -> None:
        """Ends the beat and lets the next run in at once; if the beat hangs, the lock is left to expire."""
        self._over.set()
        self._beating.join(RELEASE_S)
        if self._lost is None and not self._beating.is_alive():
            with suppress(OutputLocked):
                self._publish(replace(self._holder, released=True))

    def _beat(self) -> None:
        while not self._over.wait(self._beat_s):
            try:
                self._publish(replace(self._holder, beat=self._holder.beat + 1))
            except SamLabelError as fault:
                if isinstance(fault, StoreError) and fault.reason is not Reason.SOURCE_MISSING:
                    continue  # the next beat may reach the store; the run's own writes report the fault
                self._lost = fault
                return

    def _publish(self, holder: Holder) -> None:
        """Replaces this lock, and no other. Raises: as `refuse_if_lost`."""
        self.refuse_if_lost()
        self._holder = holder
        self._store.publish(lock_name(holder.generation), holder.to_json())


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
    refuse_shared_folders(store)
    refuse_without_put_if_absent(store)
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
    """Who holds the output, or held it and died; None if it is free."""
    newest = _newest(store)
    return newest if newest and not newest.released else None


def current_writer(store: Store) -> Holder | None:
    """Who writes now; None if the output is free, or if its holder is known to have died."""
    holder = current_holder(store)
    return None if holder is None or holder.process.is_dead_here else holder


def newest_generation(store: Store) -> int:
    """The number of the last lock ever taken, 0 if there was none."""
    return max((file.generation for _, file in _lock_files(store) if file.is_whole), default=0)


def refuse_without_lock(store: Store, generation: int, word: str) -> None:
    """Raises OutputLocked if a later run has taken the output; StoreError if the run's lock is not there.

    The word tells it from a lock of the same number: another run takes that number if the output was deleted.
    """
    newest = _newest(store)
    if newest and newest.generation > generation:
        raise _overtaken(store, generation)
    if newest is None or newest.word != word:
        raise StoreError(
            Reason.SOURCE_MISSING,
            f"cannot write {redacted(store.url)}: the lock of run {run_id(generation)} is not there; mount "
            "the same folder on each node, and delete nothing in it while a run writes",
        )


def _taken(
    store: Store, beat_s: float, expiry_s: float, wait: Callable[[float], None], clock: Callable[[], float]
) -> Holder:
    """Creates this process's lock, once the lock before it is released or its holder has died."""
    # A copy may lack the locks, or have older ones: no number of a run that has left a file is taken again.
    # Asked before the first look at a lock, so that it is no number of a run that begins meanwhile.
    last = last_generation(store, ["_runs"] if newest_generation(store) else SWEPT_FOLDERS)
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
        last = max(last, newest.generation if newest else 0)
        mine = Holder(last + 1, this_process(), uuid.uuid4().hex, now())
        if store.create(lock_name(mine.generation), mine.to_json()):
            if newest_generation(store) <= mine.generation:
                _delete_older(store, mine.generation)
                return mine
            # A listing that runs while one lock is created and an older one is deleted may show neither.
            store.delete(lock_name(mine.generation))
            continue
        winner = _newest(store)
        if winner is None or winner.generation < mine.generation:
            name = store.uri(lock_name(mine.generation))
            raise UsageError(f"{name} is in the way and is not a lock; move it elsewhere, then run again")
        raise _locked(store, winner)


def _newest(store: Store) -> Holder | None:
    gone = 0
    # asked twice: in the moment of a take-over a listing may show no lock
    while generation := newest_generation(store) or newest_generation(store):
        name = lock_name(generation)
        try:
            return Holder.from_json(store.read(name), generation)
        except StoreError as fault:
            if fault.reason is not Reason.SOURCE_MISSING or generation == gone:
                raise
            gone = generation  # a newer holder has deleted it since it was listed
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as fault:
            raise UsageError(
                f"{store.uri(name)} is not a lock of this version of sam-label ({fault!r:.200}); delete it "
                "if no run is writing there"
            ) from fault
    return None


def _delete_older(store: Store, generation: int) -> None:
    """Removes older locks, also half-written ones: a holder that is only asleep needs neither."""
    for entry, file in _lock_files(store):
        if file.generation < generation:
            store.delete(entry.name)


def _lock_files(store: Store) -> Iterator[tuple[Entry, OwnFile]]:
    for page in store.list("_lock"):
        for entry in page:
            file = own_file(entry.name)
            if file and file.kind is Kind.LOCK:
                yield entry, file


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
        else "another run"
    )
    return OutputLocked(
        f"run {run_id(generation)} did not renew its lock for so long that {who} took {store.url} over; its "
        "commits count, and the other run continues from them"
    )
