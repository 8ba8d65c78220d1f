"""The ledger of a run's images, as a plain object."""

from pipeline.attempts import AttemptLedger, Tally


def test_attempts_are_counted_until_the_image_is_finished() -> None:
    ledger = AttemptLedger()
    assert [ledger.begin("a"), ledger.begin("a"), ledger.begin("b"), ledger.begin("a")] == [1, 2, 1, 3]
    ledger.finish("a", None)
    assert ledger.begin("a") == 1


def test_the_tally() -> None:
    ledger = AttemptLedger()
    ledger.finish("a", None)
    ledger.finish("b", "EMPTY")
    ledger.finish("c", "EMPTY")
    assert ledger.tally() == Tally(1, 2, {"EMPTY": 2})


def test_an_image_done_again_counts_once() -> None:
    ledger = AttemptLedger()
    for _ in range(3):
        ledger.begin("a")
        ledger.finish("a", None)
    assert ledger.tally() == Tally(1, 0, {})


def test_nothing_begins_once_it_stops() -> None:
    ledger = AttemptLedger()
    ledger.stop()
    assert ledger.is_stopping()
    assert ledger.begin("a") is None
