"""The command as a person or a scheduler uses it: exit codes, one-sentence errors, data on stdout."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TextIO

import pytest
from commands import ran

from jobs.options.fields import ConfigField, config_fields
from jobs.options.job_file import PRESETS, job_values
from jobs.options.topics import TOPICS
from pipeline.config import RunConfig
from sam_core import __version__


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(capsys, "--version") == (0, f"sam-label {__version__}\n", "")
    code, out, _ = ran(capsys)
    assert code == 0
    assert "Exit codes" in out


def test_every_option_stands_in_the_help(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = ran(capsys, "run", "--help")
    assert code == 0
    missing = [
        field.flag for field in config_fields(RunConfig) if not re.search(rf"{field.flag}(?![\w-])", out)
    ]
    assert missing[:2] == ["--input", "--output"], "these two are arguments"
    # 18 more would fill a screen: docs/options.md has them
    assert {flag.split("-")[2] for flag in missing[2:]} == {"storage"}


def test_in_80_columns_the_help_leaves_room_for_sentences(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = ran(capsys, "run", "--help")
    assert "--no-" not in out.partition("Options")[2]
    rows = [row for row in out.splitlines() if row.startswith("│ --")]
    widest = max(row.index(re.split(r" {2,}", row.strip("│ "))[-1]) for row in rows)
    assert widest <= 48
    assert "no file or folder" in ran(capsys, "plan", "nowhere", "--no-anonymous")[2], "still known"


def test_every_option_of_a_run_has_one_topic() -> None:
    names = [name for topic in TOPICS.values() for name in topic]
    assert sorted(names) == sorted(field.name for field in config_fields(RunConfig) if len(field.path) == 1)


def test_option_names_are_unique() -> None:
    names = [field.name for field in config_fields(RunConfig)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "photos", "out", "--point-per-side", "4"], "--points-per-side"),
        (["run", "photos", "out", "--model", "vit_x"], "did you mean vit_"),
        (["run", "photos", "out", "--crop-n-layers", "-1"], "--crop-n-layers is '-1'"),
        (["run", "photos"], "OUTPUT is missing"),
        (["rum"], "Did you mean 'run'?"),
        (["models", "pull", "vit_bb"], "did you mean vit_b?"),
        (["retry", "out", "--error", "TRUNCATE"], "did you mean TRUNCATED?"),
        (["retry", "out", "--error", "NOPE"], "sam-label status OUTPUT lists the reasons in a dataset"),
        (["run", "photos", "out", "--config", "nope.toml"], "no job file nope.toml"),
        (["run", "", "out"], "INPUT is '': string should have at least 1 character\n"),
        (["plan", "photos", "--names", "nope"], "'--names': 'nope' is not one of"),
        (["run", "photos", "out", "--config", "quick", "--config=fine"], "--config is given 2 times; give"),
        (["plan", "photos", "--shard", "1/3", "--shard", "2/3", "--shard", "3/3"], "--shard is given 3"),
        (["draw", "out", "x", "-o", "a.png", "--out", "b.png"], "--out is given 2 times"),
        (["plan", "photos", "--var", "DAY=1", "--var", "DAY=2"], "--var sets DAY several times"),
    ],
)
def test_a_usage_error_is_one_sentence_on_stderr_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    code, out, err = ran(capsys, *arguments)
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.startswith("sam-label: ")
    assert err.count("\n") == 1


NUMBERS = [field for field in config_fields(RunConfig) if field.placeholder in ("N", "X")]


@pytest.mark.parametrize("number", ["9" * 400, "9" * 5000, "nan", "inf", "1e400"])
@pytest.mark.parametrize("field", NUMBERS, ids=[field.name for field in NUMBERS])
def test_no_number_is_too_large_for_a_sentence(
    capsys: pytest.CaptureFixture[str], field: ConfigField, number: str
) -> None:
    code, _, err = ran(capsys, "run", "nowhere", "out", f"{field.flag}={number}")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(f"sam-label: {field.flag} is ")


def test_a_number_of_thousands_of_digits_in_a_job_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "job.toml").write_text(f"limit = {'9' * 5000}\n")
    code, _, err = ran(capsys, "run", "photos", "out", "--config", tmp_path / "job.toml")
    assert (code, err.count("\n")) == (2, 1)
    assert "job.toml is not a TOML job file: Exceeds the limit" in err


def test_lists_and_switches_may_be_given_again(capsys: pytest.CaptureFixture[str]) -> None:
    names = ("--include", "*.png", "--include", "*.jpg")
    switches = ("--anonymous", "--no-anonymous", "--deduplicate", "--deduplicate")
    code, _, err = ran(capsys, "plan", "nowhere", *names, *switches)
    assert (code, "no file or folder" in err) == (2, True)


def test_help_answers_whatever_else_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    twice = ("--limit", "1", "--limit", "2")
    for words in ((*twice, "--help"), ("-h", *twice)):
        code, out, err = ran(capsys, "run", "photos", "masks", *words)
        assert (code, err) == (0, "")
        assert "Usage: sam-label run" in out


def test_the_shell_completes_a_line_with_a_mistake(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "sam-label run --config quick --config fine --lim"
    monkeypatch.setenv("_SAM_LABEL_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
    assert ran(capsys) == (0, "--limit\n", "")


def test_a_group_without_a_command_names_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = ran(capsys, "models")
    assert code == 2
    assert err.endswith("sam-label: models needs one of its commands: list, pull, verify\n")


def test_a_wrong_switch_in_the_environment_is_named_by_its_variable(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAM_LABEL_REFRESH", "maybe")
    code, _, err = ran(capsys, "run", "photos", "out")
    assert code == 2
    assert "value for SAM_LABEL_REFRESH: " in err


def test_debug_anywhere_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    _, _, err = ran(capsys, "run", "photos", "--debug")
    assert "Traceback" in err
    assert "OUTPUT is missing" in err


def test_models_list_is_data_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ran(capsys, "models", "list", "--json")
    rows = json.loads(out)
    assert code == 0
    assert {row["model"] for row in rows} == {"vit_h", "vit_l", "vit_b", "vit_t"}
    assert [row["place"] for row in rows if row["file"] == "mobile_sam.safetensors"] == ["bundled"]


def test_the_shipped_job_files_hold_known_options() -> None:
    demo = Path(PRESETS).parent / "demo" / "demo.toml"
    for file in [*PRESETS.glob("*.toml"), demo]:
        given = job_values(str(file), RunConfig)
        assert given, f"{file} sets nothing"


def test_help_loads_neither_torch_nor_ray() -> None:
    check = (
        "import sys\nfrom jobs.cli import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit: pass\n"
        "print({'torch', 'ray', 'numpy', 'pyarrow', 'fsspec'} & set(sys.modules), file=sys.stderr)"
    )
    for arguments in (["--help"], ["run", "--help"], ["--version"]):
        done = subprocess.run(
            [sys.executable, "-c", check, *arguments], capture_output=True, text=True, check=True
        )
        assert done.stderr == "set()\n", arguments


def listed_models(stdout: TextIO, unbuffered: str) -> tuple[int, str]:
    """Exit code and stderr of a command that writes to this stdout."""
    code = "import jobs.cli; jobs.cli.main(['models', 'list', '--json'])"
    process = subprocess.run(
        [sys.executable, "-c", code],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
    )
    return process.returncode, process.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_standard_output_is_no_fault_of_ours(unbuffered: str) -> None:
    sentence = (
        "sam-label: No space left on device: make room where standard output goes, or in the folder for "
        "temporary files\n"
    )
    with Path("/dev/full").open("w") as full:
        assert listed_models(full, unbuffered) == (1, sentence)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_of_standard_output_may_end(unbuffered: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as unread:
        assert listed_models(unread, unbuffered) == (1, "")


@pytest.mark.parametrize(("name", "goes_on"), [("stats", False), ("export", True)])
def test_an_interrupted_command_goes_on_if_it_can(name: str, goes_on: bool) -> None:
    code = (
        "import os, signal, jobs.cli as cli; cli.app = lambda *_, **__: os.kill(os.getpid(), signal.SIGINT); "
        f"cli.main([{name!r}, 'masks'])"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert process.returncode == 130
    assert ("again to continue" in process.stderr) == goes_on


@pytest.mark.parametrize(
    ("command", "package", "sentence"),
    [
        ("run", "ray", "a package that sam-label needs cannot be imported ("),
        ("doctor", "pipeline.doctor", "a fault of sam-label"),
    ],
)
def test_a_package_that_is_missing_is_named(command: str, package: str, sentence: str) -> None:
    words = [command, "photos", "masks"]
    code = f"import sys; import jobs.cli; sys.modules[{package!r}] = None; jobs.cli.main({words})"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert process.returncode == 1
    assert sentence in process.stderr
    assert package in process.stderr
    assert "Traceback" not in process.stderr


def test_what_is_wrong_with_a_file_of_the_machine_is_no_fault_of_ours(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("where the cache should be")
    monkeypatch.setenv("SAM_LABEL_CACHE", str(tmp_path / "file" / "cache"))
    code, _, err = ran(capsys, "models", "pull", "vit_b", "--from", f"file://{tmp_path}/")
    assert code == 1
    assert err.endswith(
        f"sam-label: {tmp_path}/file/cache: Not a directory; check its permissions and the room on its disk\n"
    )


def test_a_job_file_that_is_no_text_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_bytes(b"model = '\xff'")
    code, _, err = ran(capsys, "run", "photos", "out", "--config", str(tmp_path / "job.toml"))
    assert code == 2
    assert "job.toml is not a TOML job file: 'utf-8' codec" in err
