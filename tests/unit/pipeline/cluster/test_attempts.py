"""The ledger of a run's images, as a plain object."""

from pipeline.cluster.attempts import MOST_ATTEMPTS, MOST_FINISHES, AttemptLedger, Tally
from pipeline.cluster.loads import MOST_IN_A_ROW
from pipeline.metrics.work import Stage, Work


def test_attempts_are_counted_until_the_image_is_finished() -> None:
    ledger = AttemptLedger()
    assert [ledger.begin(["a", "c"]), ledger.begin(["b"]), ledger.begin(["a", "d"])] == [set(), set(), {"a"}]
    assert [ledger.begin_alone("a"), ledger.begin_alone("c"), ledger.begin_alone("a")] == [2, 2, 3]
    ledger.finish({"a": None})
    assert ledger.begin(["a", "b", "c", "d"]) == {"b", "c", "d"}


def test_the_tally() -> None:
    ledger = AttemptLedger()
    ledger.finish({"a": None, "b": "EMPTY", "c": "EMPTY"})
    assert ledger.tally() == Tally(1, 2, {"EMPTY": 2})


def test_a_store_that_gives_no_image_any_more_is_noticed() -> None:
    ledger = AttemptLedger()
    for image, reason in enumerate(["SOURCE_UNAVAILABLE", None, "SOURCE_UNAVAILABLE", "SOURCE_UNAVAILABLE"]):
        ledger.finish({str(image): reason})
    assert ledger.tally().unavailable_in_a_row == 2


def test_an_image_done_again_counts_once() -> None:
    ledger = AttemptLedger()
    for _ in range(3):
        ledger.begin(["a"])
        ledger.finish({"a": None})
    assert ledger.tally() == Tally(1, 0, {})


def test_a_block_that_is_never_done_ends_the_run() -> None:
    ledger = AttemptLedger()
    for _ in range(MOST_FINISHES):
        ledger.begin(["a"])
        ledger.finish({"a": None})
    assert ledger.tally().gave_up is None
    ledger.finish({"a": None})
    assert "image a was labelled 50 times" in str(ledger.tally().gave_up)
    assert ledger.begin(["b"]) is None


def test_a_block_of_many_images_that_kill_comes_to_its_end() -> None:
    ledger, images = AttemptLedger(), [str(number) for number in range(64)]
    killers = set(images[1::3])

    def is_done() -> bool:
        """Whether a labeler finishes the block without dying."""
        for image in images:
            attempt = ledger.begin_alone(image) if ledger.begin([image]) else 1
            assert attempt is not None, ledger.tally().gave_up
            is_given_up = attempt > MOST_ATTEMPTS
            if image in killers and not is_given_up:
                return False
            ledger.finish({image: "WORKER_CRASH" if is_given_up else None})
        return True

    while not is_done():
        pass
    assert (ledger.tally().failed, ledger.tally().labelled) == (len(killers), len(images) - len(killers))


def test_nothing_begins_once_it_stops() -> None:
    ledger = AttemptLedger()
    ledger.stop()
    assert ledger.is_stopping()
    assert ledger.begin(["a"]) is ledger.begin_alone("a") is None


def test_masks_count_once_an_image_and_work_each_time() -> None:
    ledger = AttemptLedger()
    for _ in range(2):  # a block that was done again
        ledger.finish({"a": None, "b": "EMPTY"}, {"a": 7})
        ledger.add_work(Work({Stage.LABEL: 2}, {Stage.LABEL: 0.5}, busy_s=0.75))
    tally = ledger.tally()
    assert (tally.labelled, tally.failed, tally.masks) == (1, 1, 7)
    assert tally.work == Work({Stage.LABEL: 4}, {Stage.LABEL: 1.0}, busy_s=1.5)


def test_a_labeler_without_a_model_ends_the_run_only_if_there_is_no_other() -> None:
    ledger = AttemptLedger(labelers=2)
    assert [ledger.begin_load("1", "A"), ledger.begin_load("2", "B")] == [0, 0]
    assert not ledger.fail_load("1", "no driver")
    ledger.end_load("2")
    for pause in (1, 2, 4, 8, 16, 30, 30):
        assert ledger.begin_load("1", "A") == pause
        assert not ledger.fail_load("1", "no driver")
    assert ledger.begin_load("1", "B") == 0, "it may start elsewhere"
    assert ledger.tally().gave_up is None


def test_labelers_that_all_fail_end_the_run() -> None:
    ledger = AttemptLedger(labelers=2)
    for labeler in ("1", "2"):
        ledger.begin_load(labeler, labeler)
    assert not ledger.fail_load("1", "no driver")
    assert ledger.fail_load("2", "no driver")
    assert str(ledger.tally().gave_up) == "no driver"


def test_a_labeler_that_dies_while_it_loads_is_counted() -> None:
    ledger = AttemptLedger(labelers=1)
    assert [ledger.begin_load("1", "A") for _ in range(3)] == [0, 1, 2]
    assert ledger.fail_load("1", "no memory")


def test_labelers_that_are_left_on_broken_nodes_alone_end_the_run_in_the_end() -> None:
    ledger = AttemptLedger(labelers=1)
    ledger.begin_load("1", "A")
    ledger.end_load("1")

    def fails(times: int) -> bool:
        for _ in range(times):
            ledger.begin_load("1", "B")
            if ledger.fail_load("1", "no driver"):
                return True
        return False

    assert not fails(MOST_IN_A_ROW - 1)
    ledger.finish({"a": None})
    assert fails(MOST_IN_A_ROW)


def test_an_image_that_was_given_up_does_not_begin_again() -> None:
    """Two images of a block kill their labelers: the second one's deaths do not bring back the first."""
    ledger, deaths = AttemptLedger(), 0
    while not _labelled(ledger, ["a", "killer", "b", "other killer", "c"]):
        deaths += 1
    assert deaths == 2 * MOST_ATTEMPTS - 1, "both began together at first"


def _labelled(ledger: AttemptLedger, block: list[str]) -> bool:
    """Labels the block as a labeler does; False if an image kills the labeler."""
    suspects = ledger.begin(block)
    for image in block:
        if image in (suspects or ()) and (ledger.begin_alone(image) or 0) > MOST_ATTEMPTS:
            ledger.finish({image: "WORKER_CRASH"})
        elif "killer" in image:
            return False
        else:
            ledger.finish({image: None})
    return True


def test_whether_a_labeler_has_started() -> None:
    ledger = AttemptLedger()
    assert not ledger.tally().has_labelers
    ledger.begin_load("a", "node")
    assert ledger.tally().has_labelers
    ledger.fail_load("a", "no memory")
    assert ledger.tally().has_labelers
