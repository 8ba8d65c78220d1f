"""Two runs started at once on one output: exactly one goes on, whichever is first, killed or not."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import OutputLocked
from pipeline.output.commands.validate import validate
from pipeline.output.dataset import Dataset
from pipeline.output.writer import Listing, open_output
from pipeline.store.storage import Store

RACES = 5
NAMES = [f"{number:02d}" for number in range(6)]
LOCKED, WON = 5, 0


class Racer:
    """A process that opens the output at the first `go`, and labels and exits at the second."""

    def __init__(self, work: Callable[[Callable[[], None]], None]) -> None:
        self._go, go = os.pipe()[::-1]
        self._news, news = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                os.read(go, 1)

                def until_go() -> None:
                    os.write(news, b"in")
                    os.read(go, 1)

                work(until_go)
                status = WON
            except OutputLocked as locked:
                status = locked.exit_code
            finally:
                os._exit(status)
        os.close(news)

    def go(self) -> None:
        os.write(self._go, b"!")

    def is_in(self) -> bool:
        """Waits until it has the output or has exited; whether it has the output."""
        return os.read(self._news, 2) == b"in"

    def exit_code(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def racers(rehearsal, tmp_path: Path) -> Callable[[], tuple[Racer, Racer]]:
    def two() -> tuple[Racer, Racer]:
        photos, store = rehearsal(NAMES), Store.at(str(tmp_path / "out"))

        def run(until_go: Callable[[], None]) -> None:
            with open_output(store, photos.identity, Listing("file:///photos", photos.listing)) as output:
                until_go()
                photos.label(output)

        return Racer(run), Racer(run)

    return two


def winner_of(pair: tuple[Racer, Racer]) -> Racer:
    """The racer that holds the output, once the other has exited with LOCKED."""
    for racer in pair:
        racer.go()
    winner, loser = sorted(pair, key=lambda racer: not racer.is_in())
    assert loser.exit_code() == LOCKED
    return winner


def test_of_two_runs_one_goes_on_and_the_other_leaves_with_code_5(racers, tmp_path: Path, rehearsal) -> None:
    for _ in range(RACES):
        winner = winner_of(racers())
        winner.go()
        assert winner.exit_code() == WON
        assert validate(str(tmp_path / "out")).problems == []
        assert Dataset.at(str(tmp_path / "out")).table().num_rows == len(NAMES)


def test_after_a_killed_winner_the_next_run_goes_on(racers, tmp_path: Path, rehearsal) -> None:
    for _ in range(RACES):
        winner = winner_of(racers())
        os.kill(winner.pid, signal.SIGKILL)
        assert winner.exit_code() == -signal.SIGKILL
    rehearsal(NAMES).run(Store.at(str(tmp_path / "out")))
    assert validate(str(tmp_path / "out")).problems == []
