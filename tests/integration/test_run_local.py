"""Whole runs over folders, with real Ray and a stand-in for the model. Each run ends valid."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from run_checks import the_metrics_are_those_of, the_record_has_the_report_of
from stand_in_generator import photo, stand_in
from webhook_listener import listening

import pipeline.run
from jobs.cli import main
from pipeline.config import RunConfig
from pipeline.errors import SamLabelError, TooManyFailures, UsageError
from pipeline.labelling.labeler import LabelerSettings
from pipeline.output.commands.validate import validate
from pipeline.output.dataset import Dataset
from pipeline.plan import plan
from pipeline.run import RunProgress, RunSummary, run
from sam_core.decoding.native import sources
from sam_core.decoding.native.built import NOT_BUILT

pytestmark = pytest.mark.usefixtures("one_ray")


def labelled(folder: Path, output: Path, **options: Any) -> RunSummary:
    load = options.pop("load", stand_in())
    config = RunConfig(input=str(folder), output=str(output), **options)
    return run(config, load=load)


def rows(output: Path) -> dict[str, dict[str, Any]]:
    """The dataset's rows by file name, once `validate` finds nothing."""
    assert validate(str(output)).problems == []
    return {row["uri"].rpartition("/")[2]: row for row in Dataset.at(str(output)).table().to_pylist()}


def photos(folder: Path, count: int, **poisons: str) -> Path:
    folder.mkdir(exist_ok=True)
    for number in range(count):
        (folder / f"{number:04d}.png").write_bytes(photo(number, poison=poisons.get(f"n{number}")))
    return folder


def test_every_file_ends_in_one_row(tmp_path: Path) -> None:
    folder = photos(tmp_path / "in", 20)
    (folder / "deep" / "er").mkdir(parents=True)
    names = [
        "a b.png",
        "100%.png",
        "x#y.png",
        "[1]*?.png",
        "line\nbreak.png",
        "\u00fc.png",
        "u\u0308.png",
        "..png",
    ]
    for number, name in enumerate(names):
        (folder / "deep" / "er" / f"_{name}").write_bytes(photo(100 + number))
    (folder / "caf\udce9.png").write_bytes(photo(200))  # the byte E9, which is not UTF-8
    (folder / "text.jpg").write_text("<html>not found</html>")
    (folder / "empty.jpg").touch()
    (folder / "cut.png").write_bytes(photo(7)[:900])
    (folder / "heic.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    (folder / "link.png").symlink_to("/etc/hostname")
    (folder / "gone.png").symlink_to(tmp_path / "in" / "nowhere")
    (folder / "notes.txt").write_text("left out")
    summary = labelled(folder, tmp_path / "out")
    by_name = rows(tmp_path / "out")
    assert {name: row["error"] for name, row in by_name.items() if row["status"] == "failed"} == {
        "text.jpg": "NOT_AN_IMAGE",
        "empty.jpg": "EMPTY",
        "cut.png": "TRUNCATED",
        "heic.heic": "TRUNCATED",
        "gone.png": "SOURCE_MISSING",
    }
    assert {f"_{name}" for name in names} <= {name for name, row in by_name.items() if row["status"] == "ok"}
    assert by_name["caf%E9.png"]["uri"] == f"file://localhost{folder}/caf%E9.png"
    assert by_name["caf%E9.png"]["status"] == "ok"
    assert (summary.labelled, summary.failed, summary.total) == (29, 5, 34)
    assert summary.masks == sum(row["num_masks"] or 0 for row in by_name.values())
    assert (summary.skipped_files, summary.skipped_links) == (1, 1)
    the_metrics_are_those_of(summary)
    the_record_has_the_report_of(summary)


def test_links_are_followed_on_request_and_the_dataset_keeps_to_it(tmp_path: Path) -> None:
    folder, output = photos(tmp_path / "in", 1), tmp_path / "out"
    (folder / "link.png").symlink_to(photos(tmp_path / "elsewhere", 1) / "0000.png")
    (folder / "more").symlink_to(tmp_path / "elsewhere")
    assert (labelled(folder, output).labelled, list(rows(output))) == (1, ["0000.png"])
    with pytest.raises(UsageError, match="was listed without --follow-links; leave it out to go on, or add"):
        labelled(folder, output, follow_links=True)
    assert labelled(folder, output, follow_links=True, refresh=True).labelled == 2
    uris = Dataset.at(str(output)).table(["uri"])["uri"].to_pylist()
    assert {f"file://{folder}/link.png", f"file://{folder}/more/0000.png"} < set(uris)
    with pytest.raises(UsageError, match="was listed with --follow-links; give it to go on, or add"):
        plan(RunConfig(input=str(folder), output=str(output)))
    assert labelled(folder, output, follow_links=True).skipped_done == 3


def test_a_run_on_a_cpu_says_that_the_kernel_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    photos(tmp_path / "in", 1)
    labelled(tmp_path / "in", tmp_path / "out")
    assert caplog.messages == []
    monkeypatch.setattr(sources, "digest", lambda: 0)  # as after a build that failed
    labelled(tmp_path / "in", tmp_path / "slow")
    assert caplog.messages == [NOT_BUILT]


def test_a_finished_run_again_does_nothing(tmp_path: Path) -> None:
    folder = photos(tmp_path / "in", 3)
    labelled(folder, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}

    def no_generator(settings: LabelerSettings) -> Any:
        raise AssertionError("nothing is left to label")

    summary = labelled(folder, tmp_path / "out", load=no_generator)
    assert (summary.labelled, summary.skipped_done, summary.run_id) == (0, 3, "")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


def test_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos(tmp_path / "in", 2)
    monkeypatch.chdir(tmp_path)
    assert plan(RunConfig(input="in/0001.png", output="out")).images == 1
    assert labelled(Path("in/0001.png"), Path("out")).labelled == 1
    assert list(rows(tmp_path / "out")) == ["0001.png"]
    assert labelled(tmp_path / "in" / "0001.png", tmp_path / "out").skipped_done == 1, "the same file"


def test_another_input_is_refused(tmp_path: Path) -> None:
    first, second = photos(tmp_path / "first", 3), photos(tmp_path / "second", 3)
    labelled(first, tmp_path / "out", limit=2)
    refuses(tmp_path / "out", second, first)
    assert labelled(second, tmp_path / "out", overwrite=True).labelled == 3
    refuses(tmp_path / "out", first, second)  # of a dataset that is done, too


def refuses(output: Path, other: Path, own: Path) -> None:
    for options in ({}, {"refresh": True}):
        config = RunConfig(input=str(other), output=str(output), **options)
        for act in (plan, run):
            sentence = rf"holds the masks of file://.*{own.name}, not of file://.*{other.name}"
            with pytest.raises(UsageError, match=sentence):
                act(config)


def test_an_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    with pytest.raises(UsageError, match=r"the output cannot be used: .*; name a place that can be written"):
        labelled(photos(tmp_path / "in", 1), tmp_path / "a file" / "out")


def test_a_refresh_labels_and_counts_what_has_changed(tmp_path: Path) -> None:
    folder = photos(tmp_path / "in", 12)
    labelled(folder, tmp_path / "out", limit=11)
    config = RunConfig(input=str(folder), output=str(tmp_path / "out"), refresh=True)
    assert (plan(config).images, plan(config).pending) == (12, 1)
    (folder / "0003.png").write_bytes(photo(33, size=30))
    (folder / "0004.png").unlink()
    (folder / "new.png").write_bytes(photo(50))
    planned = plan(config)
    assert (planned.images, planned.pending) == (13, 3)
    summary = labelled(folder, tmp_path / "out", refresh=True)
    assert (summary.labelled, summary.skipped_done, summary.total, summary.masks) == (3, 10, 13, 9)
    assert len(rows(tmp_path / "out")) == 13


def test_limit_then_the_rest_gives_the_rows_of_one_run(tmp_path: Path) -> None:
    folder, parts, log = photos(tmp_path / "in", 17), tmp_path / "parts", tmp_path / "log"
    labelled(folder, tmp_path / "whole")
    assert labelled(folder, parts, limit=5, images_per_block=2, load=stand_in(log=log)).labelled == 5
    planned = plan(RunConfig(input=str(folder), output=str(parts)))
    assert (planned.images, planned.pending) == (17, 12)
    rest = labelled(folder, parts, images_per_block=3, load=stand_in(log=log))
    assert (rest.labelled, rest.skipped_done) == (12, 5)
    assert len(log.read_text().split()) == 17, "no image was labelled twice"
    assert rows(tmp_path / "whole") == rows(parts)


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


def test_too_many_failures_end_it_early(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(120):
        (folder / f"{number:03d}.jpg").write_text("no image")
    with pytest.raises(TooManyFailures, match="more than the 10") as caught:
        labelled(folder, tmp_path / "out", max_failures="10")
    assert caught.value.exit_code == 3
    ended = Dataset.at(str(tmp_path / "out")).record.ended or {}
    assert (ended["outcome"], ended["exit_code"], ended["sentence"]) == ("failed", 3, str(caught.value))
    assert 10 < Dataset.at(str(tmp_path / "out")).failed < 120, (
        "what was done is kept, the rest was not begun"
    )
    labelled(folder, tmp_path / "out")
    assert len(rows(tmp_path / "out")) == 120


def test_the_command_says_what_it_did_before_too_many_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = photos(tmp_path / "in", 3)
    (folder / "notes.jpg").write_text("no image")
    monkeypatch.setattr(pipeline.run, "run", partial(run, load=stand_in()))
    with pytest.raises(SystemExit) as end:
        main(["run", str(folder), str(tmp_path / "out"), "--max-failures", "0", "--json"])
    printed = capsys.readouterr()
    assert end.value.code == 3, printed.err
    summary, dataset = json.loads(printed.out), Dataset.at(str(tmp_path / "out"))
    assert (summary["labelled"], summary["failed"]) == (dataset.labelled, dataset.failed)
    assert (summary["failed"], summary["total"]) == (1, 4)


def test_a_common_cause_ends_it_early(tmp_path: Path) -> None:
    folder = photos(tmp_path / "in", 60, **{f"n{number}": "raise" for number in range(60)})
    with pytest.raises(TooManyFailures, match="failed with LABELER_ERROR"):
        labelled(folder, tmp_path / "out", load=stand_in(delay_s=0.05))


def test_progress_is_reported_and_a_webhook_told(tmp_path: Path) -> None:
    reports: list[RunProgress] = []
    places = {"input": str(photos(tmp_path / "in", 12)), "output": str(tmp_path / "out")}
    with listening() as listener:
        summary = run(RunConfig(**places, webhook=listener.url), reports.append, load=stand_in())
    [told] = listener.told
    assert (told["run"], told["output"], told["exit_code"]) == (summary.run_id, summary.output, 0)
    assert told["counts"] == {"images": 12, "labelled": 12, "failed": {}, "masks": summary.masks, "left": 0}
    assert reports[-1] == RunProgress(labelled=12, failed=0, total=12)
    assert [each.labelled for each in reports] == sorted(each.labelled for each in reports)


def test_a_fault_of_loading_the_model_reaches_the_user(tmp_path: Path) -> None:
    def wrong_weights(settings: LabelerSettings) -> Any:
        raise SamLabelError("the weights differ; put the same file on every machine")

    with pytest.raises(SamLabelError, match="the weights differ; put the same file on every machine"):
        labelled(photos(tmp_path / "in", 3), tmp_path / "out", load=wrong_weights)
    assert labelled(tmp_path / "in", tmp_path / "out").labelled == 3


def test_what_cannot_be_scheduled_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Ray finds no GPU here"):
        labelled(photos(tmp_path / "in", 1), tmp_path / "out", device="cuda")


def test_upright_and_recorded(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(tmp_path / "in" / "turned.jpg", exif=exif)
    labelled(tmp_path / "in", tmp_path / "out")
    (row,) = rows(tmp_path / "out").values()
    assert (row["width"], row["height"], row["exif_orientation"], row["frames"]) == (20, 40, 6, 1)
