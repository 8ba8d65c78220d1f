"""Whole runs over folders, with real Ray and a stand-in for the model; some tests share a run."""

import json
import os
import signal
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from odd_files import LABELLED, ODD_NAMES, odd_files, warned_of
from run_checks import (
    the_log_of_workers_reached_the_user,
    the_metrics_are_those_of,
    the_output_keeps_the_log,
    the_record_has_the_report_of,
)
from stand_in_generator import photo, stand_in
from webhook_listener import listening

import pipeline.run
from jobs.cli import main
from pipeline.config import RunConfig
from pipeline.errors import Interrupted, SamLabelError, TooManyFailures, UsageError
from pipeline.inputs.source import Source
from pipeline.labelling.labeler import LabelerSettings
from pipeline.output.commands.validate import validate
from pipeline.output.dataset import Dataset
from pipeline.output.format.identity import Identity
from pipeline.plan import plan
from pipeline.run import RunProgress, run
from pipeline.store.storage import Store
from pipeline.summary import RunSummary, summary_so_far
from pipeline.weights.models import weights_of
from sam_core.decoding.native import sources
from sam_core.decoding.native.built import NOT_BUILT

pytestmark = pytest.mark.usefixtures("one_ray")


def labelled(folder: Path, output: Path, **options: Any) -> RunSummary:
    load = options.pop("load", stand_in())
    config = RunConfig(input=str(folder), output=str(output), **options)
    return run(config, load=load)


def rows(output: Path) -> dict[str, dict[str, Any]]:
    """The dataset's rows by file name; the dataset must be valid."""
    assert validate(str(output)).problems == []
    return {row["uri"].rpartition("/")[2]: row for row in Dataset.at(str(output)).table().to_pylist()}


def photos(folder: Path, count: int, **poisons: str) -> Path:
    folder.mkdir(exist_ok=True)
    for number in range(count):
        (folder / f"{number:04d}.png").write_bytes(photo(number, poison=poisons.get(f"n{number}")))
    return folder


@dataclass(frozen=True)
class Whole:
    """A run over odd_files, its summary and its progress reports."""

    folder: Path
    output: Path
    summary: RunSummary
    reports: list[RunProgress]
    told: list[dict[str, Any]]


@pytest.fixture(scope="module")
def whole(one_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    place = tmp_path_factory.mktemp("whole")
    folder, output = place / "in", place / "out"
    odd_files(folder)
    reports: list[RunProgress] = []
    with listening() as listener:
        config = RunConfig(input=str(folder), output=str(output), webhook=listener.url)
        summary = run(config, reports.append, load=stand_in())
    return Whole(folder, output, summary, reports, listener.told)


def test_every_file_ends_in_one_row(whole: Whole) -> None:
    by_name, summary = rows(whole.output), whole.summary
    assert {name: row["error"] for name, row in by_name.items() if row["status"] == "failed"} == {
        "text.jpg": "NOT_AN_IMAGE",
        "empty.jpg": "EMPTY",
        "cut.png": "TRUNCATED",
        "heic.heic": "TRUNCATED",
        "gone.png": "SOURCE_MISSING",
    }
    assert {f"_{name}" for name in ODD_NAMES} <= {
        name for name, row in by_name.items() if row["status"] == "ok"
    }
    assert by_name["caf%E9.png"]["uri"] == f"file://localhost{whole.folder}/caf%E9.png"
    assert by_name["caf%E9.png"]["status"] == "ok"
    turned = by_name["turned.jpg"]
    assert (turned["width"], turned["height"], turned["exif_orientation"], turned["frames"]) == (20, 40, 6, 1)
    assert (summary.labelled, summary.failed, summary.total) == (LABELLED, 5, 35)
    assert summary.masks == sum(row["num_masks"] or 0 for row in by_name.values())
    assert (summary.skipped_files, summary.skipped_links) == (1, 1)
    the_metrics_are_those_of(summary)
    the_record_has_the_report_of(summary)


def test_progress_is_reported_and_a_webhook_told(whole: Whole) -> None:
    [told], summary = whole.told, whole.summary
    assert (told["run"], told["output"], told["exit_code"]) == (summary.run_id, summary.output, 0)
    counts = {"images": 35, "labelled": 30, "failed": summary.failed_by_reason, "left": 0}
    assert told["counts"] == {**counts, "masks": summary.masks}
    assert whole.reports[-1] == RunProgress(labelled=30, failed=5, total=35)
    labelled_each = [each.labelled for each in whole.reports]
    assert labelled_each == sorted(labelled_each)


def test_the_listing_is_told_apart_from_the_progress(tmp_path: Path) -> None:
    places = tmp_path / "places.txt"
    places.write_text(f"{photos(tmp_path / 'in', 1)}/0000.png\n" * 1000)
    listed: list[tuple[str, int]] = []
    shares: list[float] = []
    run(
        RunConfig(input=str(places), output=str(tmp_path / "out")),
        lambda now: shares.append((now.labelled + now.failed) / now.total),
        stand_in(),
        on_step=lambda what, images, _: listed.append((what, images)),
    )
    assert (listed, shares[-1]) == ([("images listed", 1000)], 1.0)


def test_a_finished_run_again_does_nothing(whole: Whole) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.output.rglob("*")}

    def no_generator(settings: LabelerSettings) -> Any:
        raise AssertionError("nothing is left to label")

    summary = labelled(whole.folder, whole.output, load=no_generator)
    assert (summary.labelled, summary.skipped_done, summary.run_id) == (0, 35, "")
    assert {path: path.stat().st_mtime_ns for path in whole.output.rglob("*")} == before


def test_limit_then_the_rest_gives_the_rows_of_one_run(
    whole: Whole,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    parts, log = tmp_path / "parts", tmp_path / "log"
    first = labelled(whole.folder, parts, limit=5, images_per_block=2, load=stand_in(log=log))
    assert first.labelled + first.failed == 5
    assert NOT_BUILT not in caplog.messages
    planned = plan(RunConfig(input=str(whole.folder), output=str(parts)))
    assert (planned.images, planned.pending) == (35, 30)
    done = set(Dataset.at(str(parts)).table(["uri"])["uri"].to_pylist())

    monkeypatch.setattr(pipeline.run, "run", partial(run, load=stand_in(log=log)))
    flags = ("--images-per-block", "3", "--log-level", "info", "--json")
    with pytest.raises(SystemExit):
        main(["run", str(whole.folder), str(parts), *flags])
    printed = capsys.readouterr()
    rest = json.loads(printed.out)
    assert (rest["labelled"] + rest["failed"], rest["skipped_done"]) == (30, 5)
    assert len(log.read_text().split()) == LABELLED, "no image was labelled twice"
    assert rows(whole.output) == rows(parts)
    the_log_of_workers_reached_the_user(printed.err)
    the_output_keeps_the_log(parts, rest["run_id"], warned_of(whole.folder) - done)


def test_a_refresh_labels_and_counts_what_has_changed_and_may_follow_links(tmp_path: Path) -> None:
    folder, output = photos(tmp_path / "in", 12), tmp_path / "out"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "far.png").write_bytes(photo(60))
    (folder / "link.png").symlink_to(tmp_path / "elsewhere" / "far.png")
    (folder / "more").symlink_to(tmp_path / "elsewhere")
    assert labelled(folder, output, limit=11).labelled == 11
    config = RunConfig(input=str(folder), output=str(output), refresh=True)
    assert (plan(config).images, plan(config).pending) == (12, 1)
    (folder / "0003.png").write_bytes(photo(33, size=30))
    (folder / "0004.png").unlink()
    (folder / "new.png").write_bytes(photo(50))
    assert (plan(config).images, plan(config).pending) == (13, 3)

    with pytest.raises(
        UsageError, match="was listed without --follow-links; leave it out to continue, or add"
    ):
        labelled(folder, output, follow_links=True)
    summary = labelled(folder, output, follow_links=True, refresh=True)
    assert (summary.labelled, summary.skipped_done, summary.total, summary.masks) == (5, 10, 15, 15)
    assert {"link.png", "far.png", "new.png"} < rows(output).keys()
    uris = Dataset.at(str(output)).table(["uri"])["uri"].to_pylist()
    assert {f"file://{folder}/link.png", f"file://{folder}/more/far.png"} < set(uris)
    with pytest.raises(UsageError, match="was listed with --follow-links; give it to continue, or add"):
        plan(RunConfig(input=str(folder), output=str(output)))
    assert labelled(folder, output, follow_links=True).skipped_done == 15


def test_one_file_labelled_where_the_kernel_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    photos(tmp_path / "in", 2)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources, "digest", lambda: 0)  # as after a build that failed
    assert plan(RunConfig(input="in/0001.png", output="out")).images == 1
    assert labelled(Path("in/0001.png"), Path("out")).labelled == 1
    assert caplog.messages == [NOT_BUILT]
    assert list(rows(tmp_path / "out")) == ["0001.png"]
    assert labelled(tmp_path / "in" / "0001.png", tmp_path / "out").skipped_done == 1, "the same file"


def test_a_fault_of_loading_the_model_reaches_the_user(tmp_path: Path) -> None:
    def wrong_weights(settings: LabelerSettings) -> Any:
        raise SamLabelError("the weights differ; put the same file on every machine")

    folder, output = photos(tmp_path / "in", 3), tmp_path / "out"
    with pytest.raises(SamLabelError, match="the weights differ; put the same file on every machine"):
        labelled(folder, output, load=wrong_weights)
    assert plan(RunConfig(input=str(folder), output=str(output))).pending == 3


def test_another_input_is_refused(tmp_path: Path, rehearsal: Any) -> None:
    first, second, output = photos(tmp_path / "first", 4), photos(tmp_path / "second", 3), tmp_path / "out"
    config = RunConfig(input=str(first), output=str(output))
    begun, weights = rehearsal([f"{number:04d}.png" for number in range(4)]), weights_of(config)
    begun.source = str(Source.of(config).location)
    begun.identity = Identity.of(weights.model_type, weights.sha256, config.mask, config.reading)
    begun.run(Store.at(str(output)), shards=1)
    refuses(output, second, first)
    assert labelled(second, output, overwrite=True).labelled == 3
    refuses(output, first, second)  # of a dataset that is done, too


def refuses(output: Path, other: Path, own: Path) -> None:
    for options in ({}, {"refresh": True}):
        config = RunConfig(input=str(other), output=str(output), **options)
        for act in (plan, run):
            sentence = rf"holds masks of file://.*{own.name}, not of file://.*{other.name}"
            with pytest.raises(UsageError, match=sentence):
                act(config)


def test_an_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    with pytest.raises(UsageError, match=r"the output cannot be used: .*; name a place that can be written"):
        labelled(photos(tmp_path / "in", 1), tmp_path / "a file" / "out")


def test_faults_of_the_labeler_are_the_images_own(tmp_path: Path) -> None:
    folder = photos(tmp_path / "in", 16, n1="broken cuda", n9="raise", n14="cuda out of memory")
    labelled(folder, tmp_path / "out")
    failed = {name: row for name, row in rows(tmp_path / "out").items() if row["status"] == "failed"}
    assert {name: row["error"] for name, row in failed.items()} == {
        "0001.png": "WORKER_CRASH",
        "0009.png": "LABELER_ERROR",
        "0014.png": "GPU_OOM",
    }
    assert "this image cannot be labelled" in failed["0009.png"]["error_message"]
    assert "3 times" in failed["0001.png"]["error_message"]


def test_decoders_that_start_nowhere_end_the_run_with_their_sentence(tmp_path: Path) -> None:
    with pytest.raises(
        SamLabelError, match=r"^a decoder did not start on .* \(exit code 1\); `.* -m no_such_program .*`"
    ):
        labelled(photos(tmp_path / "in", 2), tmp_path / "out", load=stand_in(decoder="no_such_program"))


def test_the_command_ends_early_at_too_many_failures_and_says_what_it_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, output = photos(tmp_path / "in", 20), tmp_path / "out"
    for number in range(600):  # on a busy machine the run looks rarely
        (folder / f"{number:03d}.jpg").write_text("no image")
    monkeypatch.setattr(pipeline.run, "run", partial(run, load=stand_in()))
    with pytest.raises(SystemExit) as end:
        main(["run", str(folder), str(output), "--max-failures", "10", "--json"])
    printed, dataset = capsys.readouterr(), Dataset.at(str(output))
    problems = validate(str(output)).problems
    assert end.value.code == 3, printed.err
    ended, summary = dataset.record.ended or {}, json.loads(printed.out)
    assert (ended["outcome"], ended["exit_code"]) == ("failed", 3)
    assert "more than the 10" in ended["sentence"]
    assert printed.err.endswith(f"sam-label: {ended['sentence']}\n")
    assert 10 < dataset.failed < 600, "what was done is kept, the rest was not begun"
    assert (summary["labelled"], summary["failed"]) == (dataset.labelled, dataset.failed)
    assert (summary["total"], dataset.table().num_rows) == (620, dataset.rows)
    assert all(problem.endswith("has no row; run the same sam-label run again") for problem in problems)
    assert plan(RunConfig(input=str(folder), output=str(output))).pending == 620 - dataset.rows


def test_a_common_cause_ends_it_early(tmp_path: Path) -> None:
    folder = photos(tmp_path / "in", 60, **{f"n{number}": "raise" for number in range(60)})
    with pytest.raises(TooManyFailures, match="failed with LABELER_ERROR"):
        labelled(folder, tmp_path / "out", load=stand_in(delay_s=0.05))


def test_what_cannot_be_scheduled_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Ray finds no GPU on the cluster; add a node"):
        labelled(photos(tmp_path / "in", 1), tmp_path / "out", device="cuda")


@pytest.mark.parametrize(
    ("overwrite", "advice"), [(False, "again to"), (True, "again without --overwrite to")]
)
def test_an_interrupted_run_waits_for_no_long_image_and_says_what_it_did(
    tmp_path: Path, overwrite: bool, advice: str
) -> None:
    folder, output, log = photos(tmp_path / "in", 4), tmp_path / "out", tmp_path / "log"
    (folder / "notes.jpg").write_text("no image")

    def terminate_once_an_image_is_begun() -> None:
        while not log.exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)  # as a scheduler does; Ctrl-C: test_interruption.py

    Thread(target=terminate_once_an_image_is_begun, daemon=True).start()
    with pytest.raises(Interrupted) as caught:
        labelled(folder, output, workers=1, overwrite=overwrite, load=stand_in(delay_s=10_000, log=log))
    assert caught.value.exit_code == 130
    assert f"run the same command {advice} continue" in str(caught.value)
    config = RunConfig(input=str(folder), output=str(output))
    summary, dataset = summary_so_far(config, has_begun=True, elapsed_s=0), Dataset.at(str(output))
    assert (summary.labelled, summary.failed, summary.total) == (0, dataset.failed, 5)
    assert (summary.device, summary.workers) == ("cpu", 1)
    assert dataset.record.ended["outcome"] == "interrupted"
    assert dataset.record.ended["sentence"] == str(caught.value)
