"""`sam-label config`: its output can be used as a job file, and names the place of each value."""

import json
import tomllib
from pathlib import Path

import jsonschema
import pytest
from commands import ran

from jobs.options.fields import config_fields
from jobs.options.job_file import PRESETS, job_values, presets
from pipeline.config import RunConfig


def test_show_says_where_each_value_came_from(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    job = tmp_path / "job.toml"
    job.write_text('input = "s3://photos/${DATE}"\nworkers = 2\nlimit = 5\n[mask]\ntile_size = 512\n')
    monkeypatch.setenv("SAM_LABEL_WORKERS", "3")
    monkeypatch.setenv("SAM_LABEL_CHECKPOINT", "https://host/sam.pth?X-Amz-Signature=abc")
    arguments = ("--config", str(job), "--limit", "7", "--var", "DATE=2026-11-01")
    code, out, _ = ran(capsys, "config", "show", *arguments, "--origin", "--json")
    rows = json.loads(out)
    assert code == 0
    assert rows["input"] == {"value": "s3://photos/2026-11-01", "origin": str(job)}
    assert rows["output"] == {"value": None, "origin": "default"}
    assert rows["workers"] == {"value": 3, "origin": "SAM_LABEL_WORKERS"}
    assert rows["limit"] == {"value": 7, "origin": "--limit"}
    assert rows["tile_size"] == {"value": 512, "origin": str(job)}
    assert rows["points_per_side"] == {"value": 32, "origin": "default"}
    assert rows["checkpoint"]["value"] == "https://host/sam.pth?***"
    _, text, _ = ran(capsys, "config", "show", *arguments, "--origin")
    assert "limit = 7  # --limit\n" in text
    assert "# output is not set\n" in text
    _, text, _ = ran(capsys, "config", "show", "--config", "quick", "--origin")
    assert "points_per_side = 16  # preset quick\n" in text


def test_what_show_prints_is_a_job_file_of_the_same_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    hostile = 'a "b" \\ #c = \x7f é 😀 ${'
    _, first, _ = ran(capsys, "config", "show", hostile.replace("${", "$${"), "s3://o", "--config", "fine")
    file = tmp_path / "shown.toml"
    file.write_text(first)
    _, second, _ = ran(capsys, "config", "show", "--config", str(file))
    assert second == first
    assert tomllib.loads(second)["input"] == hostile.replace("${", "$${")


def test_show_refuses_what_run_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ran(capsys, "config", "show", "--tile-size", "3")
    assert (code, out) == (2, "")
    assert "--tile-size is '3'" in err


def test_the_schema_takes_every_preset_and_refuses_what_run_refuses(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, out, _ = ran(capsys, "config", "schema")
    schema = json.loads(out)
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    for preset in PRESETS.glob("*.toml"):
        check.validate(tomllib.loads(preset.read_text(encoding="utf-8")))
    for wrong in ({"worker": 1}, {"workers": 0}, {"mask": {"points": 3}}, {"device": "gpu"}, {"limit": "3"}):
        assert not check.is_valid(wrong), wrong


def test_init_in_a_folder_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, err = ran(capsys, "config", "init", str(tmp_path / "none" / "job.toml"))
    assert (code, err) == (
        1,
        f"sam-label: {tmp_path}/none/job.toml: No such file or directory; check the path\n",
    )


def test_init_names_every_option_and_keeps_a_file_that_is_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = ran(capsys, "config", "init")
    assert (code, out) == (0, "job.toml\n")
    assert "sam-label run --config job.toml --dry-run" in err
    written = Path("job.toml").read_text()
    assert job_values("job.toml", RunConfig) == {}
    # with each option's comment sign gone it sets them all, to values that are right
    names = {field.name for field in config_fields(RunConfig)}
    keys = {field.key for field in config_fields(RunConfig)}
    lines = written.splitlines()
    is_option = [line.removeprefix("# ").split(" ")[0] in keys and " = " in line for line in lines]
    Path("all.toml").write_text(
        "\n".join(line[2:] if option else line for line, option in zip(lines, is_option, strict=True))
    )
    assert job_values("all.toml", RunConfig).keys() == names
    assert ran(capsys, "config", "show", "--config", "all.toml")[0] == 0
    assert ran(capsys, "config", "init")[0] == 2
    assert Path("job.toml").read_text() == written


def test_presets_are_listed_with_their_purpose_and_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = ran(capsys, "config", "presets")
    assert [line.split()[0] for line in out.splitlines()] == sorted(presets())
    for name, purpose in presets().items():
        assert purpose.endswith("."), name
        assert ran(capsys, "config", "show", "--config", name)[0] == 0
