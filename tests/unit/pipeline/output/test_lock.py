"""One writer: which run gets the lock, which exits, and what an overtaken holder may still do."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import OutputLocked, Reason, StoreError, UsageError
from pipeline.output import lock, process_identity, writer
from pipeline.output.commands.gc import collect
from pipeline.output.commands.validate import validate
from pipeline.output.commits import RunRecord
from pipeline.output.dataset import Dataset
from pipeline.output.format.names import record_name
from pipeline.output.format.schema import table_of
from pipeline.output.lock import Holder, current_holder, held_lock, newest_generation, refuse_without_lock
from pipeline.output.process_identity import ProcessIdentity, this_process
from pipeline.output.shards import write_shards
from pipeline.output.writer import Listing, open_output
from pipeline.store.storage import Store

ELSEWHERE = ProcessIdentity("other-host", 7, "another boot", "1")


class Watch:
    """A clock that only advances by waiting."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    def clock(self) -> float:
        return self.now_s


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at(str(tmp_path))


def held_elsewhere(store: Store, generation: int = 1) -> Holder:
    """Creates the lock of a process on another machine, which never beats."""
    holder = Holder(generation, ELSEWHERE, "word", "2026-01-01T00:00:00.000+00:00")
    assert store.create(f"_lock/{generation:05d}.json", holder.to_json())
    return holder


def test_a_release_that_fails_after_success_is_a_warning(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise StoreError(Reason.SOURCE_UNAVAILABLE, "the store is gone")

    with held_lock(store):
        monkeypatch.setattr(Store, "publish", fail)
    (message,) = caplog.messages
    assert message.startswith(
        f"the work on {store.url} is done, but its lock could not be released (the store"
    )


def test_the_lock_is_free_again_after_its_block(store: Store) -> None:
    with held_lock(store) as first:
        holder = current_holder(store)
        assert holder is not None
        assert holder.process == this_process()
        first.check()
    assert current_holder(store) is None
    with held_lock(store) as second:
        assert second.generation == first.generation + 1
    assert [path.name for path in Path(store.location.root, "_lock").iterdir()] == ["00002.json"]


def test_the_fault_that_ended_the_block_is_told_though_the_store_is_gone_too(
    store: Store, tmp_path: Path
) -> None:
    def lose_the_store() -> None:
        (tmp_path / "_lock").rename(tmp_path / "gone")
        (tmp_path / "_lock").touch()  # no folder any more: nothing can be written there
        raise ValueError("the first fault")

    with pytest.raises(ValueError, match="the first fault"), held_lock(store):
        lose_the_store()


def test_a_second_run_leaves_with_the_holders_host_and_pid_and_age(store: Store) -> None:
    with (
        held_lock(store, beat_s=0.05),
        pytest.raises(OutputLocked, match=rf"pid {os.getpid()}, for \d+ s; wait for it") as caught,
        held_lock(store, beat_s=0.05),
    ):
        pytest.fail("two runs hold one output")
    assert caught.value.exit_code == 5


def test_a_silent_holder_elsewhere_is_taken_over_after_its_time(store: Store) -> None:
    held_elsewhere(store)
    watch = Watch()
    with held_lock(store, expiry_s=30, wait=watch.wait, clock=watch.clock) as lock:
        assert lock.generation == 2
    assert 30 <= watch.now_s < 32


def test_a_holder_elsewhere_that_beats_is_left_alone_whatever_its_clock_says(store: Store) -> None:
    holder = held_elsewhere(store)
    watch = Watch()

    def beat_after_a_while(seconds: float) -> None:
        watch.wait(seconds)
        if watch.now_s > 4:
            store.publish("_lock/00001.json", replace(holder, beat=1).to_json())

    with (
        pytest.raises(OutputLocked, match="on other-host, pid 7"),
        held_lock(store, wait=beat_after_a_while, clock=watch.clock),
    ):
        pytest.fail("a live holder was overtaken")
    assert watch.now_s < 10  # the loser leaves within 10 s


def test_of_many_that_find_a_dead_holder_one_takes_over(store: Store) -> None:
    held_elsewhere(store)
    all_have_seen_it = threading.Barrier(8)
    over = threading.Event()

    def racer() -> int | None:
        watch = Watch()

        def wait(_: float) -> None:
            all_have_seen_it.wait()
            watch.wait(31)

        try:
            with held_lock(store, wait=wait, clock=watch.clock) as lock:
                over.wait()
                return lock.generation
        except OutputLocked:
            return None

    with ThreadPoolExecutor(8) as racers:
        runs = [racers.submit(racer) for _ in range(8)]
        losers = list(islice(as_completed(runs), 7))
        over.set()
        assert [run.result() for run in losers] == [None] * 7
    assert sorted(run.result() or 0 for run in runs) == [0] * 7 + [2]


@pytest.mark.parametrize("shown_before", range(7))
def test_a_listing_that_shows_no_lock_lets_no_second_run_in(
    store: Store, monkeypatch: pytest.MonkeyPatch, shown_before: int
) -> None:
    """A listing of a disk's folder may look so while one lock is created and the older one deleted."""
    with held_lock(store):
        pass
    lock_files, of_second = lock._lock_files, threading.current_thread()
    listings = iter([*[lock_files] * shown_before, lambda _: iter(())])

    def shown(store: Store) -> Any:
        is_second = threading.current_thread() is of_second
        return (next(listings, lock_files) if is_second else lock_files)(store)

    with held_lock(store, beat_s=0.05) as first:
        store.publish(record_name(first.run), b"{}")
        monkeypatch.setattr(lock, "_lock_files", shown)
        with (
            pytest.raises(OutputLocked, match="is being written by run r00002"),
            held_lock(store, beat_s=0.05),
        ):
            pytest.fail("two runs hold the output")
        assert [entry.name for page in store.list("_lock") for entry in page] == ["_lock/00002.json"]
        first.check()


def test_a_run_killed_on_this_machine_is_taken_over_at_once(store: Store, tmp_path: Path) -> None:
    code = (
        "import os, sys, signal\n"
        "from pipeline.output.lock import held_lock\n"
        "from pipeline.store.storage import Store\n"
        "with held_lock(Store.at(sys.argv[1])): os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    watch = Watch()
    assert current_holder(store) is not None
    with held_lock(store, wait=watch.wait, clock=watch.clock) as lock:
        assert lock.generation == 2
    assert watch.now_s == 0


def test_taking_over_removes_older_locks_and_what_was_half_written_of_them(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    store.publish("_lock/00004.json", replace(held_elsewhere(store, generation=4), released=True).to_json())
    (tmp_path / "_lock" / ".tmp-00004.json-0123abcd").write_bytes(b"{")  # killed within a beat
    (tmp_path / "_lock" / ".tmp-00005.json-0123abcd").write_bytes(b"{")  # of one that wants the same number
    with held_lock(store):
        left = {path.name for path in (tmp_path / "_lock").iterdir()}
        assert left == {"00005.json", ".tmp-00005.json-0123abcd"}


def test_a_pid_that_was_given_to_another_process_is_a_dead_holder() -> None:
    me = this_process()
    assert not me.is_dead_here
    assert replace(me, started=f"{me.started}0").is_dead_here
    assert not replace(me, pid_space="another container", started="0").is_dead_here
    assert not ELSEWHERE.is_dead_here


def test_a_live_process_of_another_user_is_no_dead_holder_though_proc_hides_it() -> None:
    """As with hidepid=2. It needs root, and namespaces, so that no other process sees the change."""
    hidden = ["unshare", "--mount", "--pid", "--fork", "sh", "-c"]
    hidden.append('mount -t proc -o hidepid=2 proc /proc && exec "$0" "$@"')
    if os.getuid() != 0 or subprocess.run([*hidden, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount /proc")
    code = (
        "import os, sys\n"
        "from pipeline.output.process_identity import _started, this_process\n"
        "holder = this_process()\n"
        "if child := os.fork(): sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        "os.setgroups([]), os.setgid(65534), os.setuid(65534)\n"
        "assert _started(holder.pid) == ''\n"
        "assert not holder.is_dead_here\n"
        "os._exit(9)"
    )
    command = [*hidden, sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 9, done.stderr


def test_a_holder_whose_clock_is_ahead_has_no_negative_age() -> None:
    assert Holder(1, ELSEWHERE, "word", "2999-01-01T00:00:00.000+00:00").age_s == 0


def test_where_the_system_does_not_tell_a_pid_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_identity, "_pid_space", lambda: "")
    assert not replace(this_process(), started="0").is_dead_here


def test_a_store_that_overwrites_instead_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(self: Store, name: str, data: bytes) -> bool:
        self.publish(name, data)
        return True

    monkeypatch.setattr(Store, "create", careless)
    with pytest.raises(UsageError, match="create only if absent"), held_lock(store):
        pytest.fail("a store without put-if-absent was trusted")


def test_what_an_overtaken_run_commits_later_counts_nowhere(store: Store, tmp_path: Path, rehearsal) -> None:
    photos = rehearsal([f"{number:02d}" for number in range(10)])
    late = pytest.raises(OutputLocked, match="did not renew its lock for so long")
    with late, open_output(store, photos.identity, Listing("file:///photos", photos.listing)) as asleep:
        photos.label(asleep, shards=1)
        asleep.lock._over.set()  # it no longer beats, as if suspended,
        asleep.lock._beating.join()
        silent = replace(Holder.from_json(store.read("_lock/00001.json"), 1), process=ELSEWHERE)
        store.publish("_lock/00001.json", silent.to_json())  # on a machine whose processes are invisible here
        watch = Watch()
        with held_lock(store, wait=watch.wait, clock=watch.clock):
            pass  # somebody took over and died before its run record
        photos.run(store)
        sink = asleep.sink()
        with pytest.raises(OutputLocked):
            refuse_without_lock(store, sink.generation, sink.word)
        rows = table_of([photos.row(image) for image in photos.listing()])
        write_shards(store, f"{asleep.run}-000001", rows, sink.metadata)  # between its check and its write
    assert Dataset.in_store(store).table().num_rows == 10
    assert collect(str(tmp_path)).files == 2
    assert validate(str(tmp_path)).problems == []
    assert newest_generation(store) == 4


def test_what_it_writes_counts_nowhere_though_it_slept_since_its_record(
    store: Store, tmp_path: Path, rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = rehearsal([f"{number:02d}" for number in range(10)])
    publish, held = writer.publish_dataset_json, Path(tmp_path, "_lock/00001.json")

    def overtaken(of: Store, record: RunRecord) -> None:
        monkeypatch.undo()
        publish(of, record)
        silent = replace(Holder.from_json(held.read_bytes(), 1), released=True)  # as good as 30 s of silence
        held.write_bytes(silent.to_json())
        photos.run(of, shards=1)

    monkeypatch.setattr(writer, "publish_dataset_json", overtaken)
    late = pytest.raises(OutputLocked, match="did not renew its lock for so long")
    with late, open_output(store, photos.identity, Listing("file:///photos", photos.listing)) as asleep:
        assert asleep.dataset.record.run == "r00002"
        photos.label(asleep)  # as filter and merge do, whose lock has not found itself overtaken yet
    assert Dataset.in_store(store).rows == 3
    photos.run(store)
    assert validate(str(tmp_path)).problems == []


def test_a_writer_that_does_not_see_the_runs_lock_is_refused(store: Store, tmp_path: Path) -> None:
    not_mounted, another = Store.at(str(tmp_path / "not-mounted")), Store.at(str(tmp_path / "another"))
    with held_lock(store) as lock, held_lock(another) as anothers:
        refuse_without_lock(store, lock.generation, lock.word)
        assert anothers.generation == lock.generation
        for elsewhere in (not_mounted, another):
            with pytest.raises(StoreError, match="the lock of run r00001 is not there; mount"):
                refuse_without_lock(elsewhere, lock.generation, lock.word)
    assert not (tmp_path / "not-mounted").exists()


def test_a_holder_that_finds_itself_overtaken_stops(store: Store) -> None:
    with held_lock(store, beat_s=0.01) as lock:
        held_elsewhere(store, generation=2)
        lock._beating.join()  # the beating thread ends by itself, and leaves both locks as they are
        with pytest.raises(OutputLocked, match="on other-host, pid 7"):
            lock.check()
    newest = current_holder(store)
    assert newest is not None
    assert newest.process == ELSEWHERE
