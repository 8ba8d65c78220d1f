"""Options made from a model: every place of a value, by precedence; one sentence for each wrong value."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import typer
from pydantic import BaseModel, ConfigDict, Field

from jobs.options.command_options import configured_by
from jobs.options.fields import config_fields
from jobs.options.job_file import job_values
from pipeline.errors import UsageError


class Grid(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    points_per_side: int = Field(32, ge=1, description="Points along one side.")


class Job(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    input: str = Field(description="Images.")
    kind: Literal["small", "large"] | None = Field(None, description="Which.")
    threshold: float = Field(1 / 3, description="Where to cut.")
    refresh: bool = Field(False, description="Again.")
    names: tuple[str, ...] = Field((), description="Which names.")
    mask: Grid = Field(default_factory=Grid, description="The grid.")


Parse = Callable[..., Job]


@pytest.fixture
def parse() -> Parse:
    """The config that a real Typer command makes of arguments."""
    app = typer.Typer()
    seen: list[Job] = []

    @configured_by(Job)
    def command(config: Job) -> int:
        seen.append(config)
        return 0

    app.command()(command)

    def run(*arguments: str, job_file: dict[str, object] | None = None) -> Job:
        app(list(arguments), standalone_mode=False, default_map=job_file)
        return seen[-1]

    return run


def test_a_flag_wins_over_the_environment_over_the_job_file_over_the_default(
    parse: Parse, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert parse("photos").mask.points_per_side == 32
    assert parse("photos", job_file={"points_per_side": 16}).mask.points_per_side == 16
    monkeypatch.setenv("SAM_LABEL_POINTS_PER_SIDE", "8")
    assert parse("photos", job_file={"points_per_side": 16}).mask.points_per_side == 8
    assert parse("photos", "--points-per-side", "4").mask.points_per_side == 4


def test_a_misspelt_variable_is_refused_and_a_strange_one_is_left_alone(
    parse: Parse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAM_LABEL_SERVICE_HOST", "10.0.0.1")  # as Kubernetes sets it for a service sam-label
    monkeypatch.setenv("SAM_LABEL_VERSION", "1.2")  # as container images do
    parse("photos")
    monkeypatch.setenv("SAM_LABEL_POINT_PER_SIDE", "8")
    with pytest.raises(UsageError, match=r"sets POINT_PER_SIDE, .* mean POINTS_PER_SIDE\?"):
        parse("photos")


def test_a_flag_turns_off_what_a_job_file_or_a_variable_turned_on(
    parse: Parse, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not parse("photos", "--no-refresh", job_file={"refresh": True}).refresh
    monkeypatch.setenv("SAM_LABEL_REFRESH", "true")
    assert parse("photos").refresh
    assert not parse("photos", "--no-refresh").refresh


def test_every_kind_of_option_arrives(parse: Parse) -> None:
    job = parse("a b", "--kind", "large", "--threshold", "0.5", "--refresh")
    assert job == Job(input="a b", kind="large", threshold=0.5, refresh=True)
    assert parse(job_file={"input": "from file", "refresh": True}) == Job(input="from file", refresh=True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "INPUT is missing"),
        (
            ("x", "--points-per-side", "0"),
            "--points-per-side is '0': input should be greater than or equal to 1",
        ),
        (("x", "--points-per-side", "many"), "--points-per-side is 'many': input should be a valid integer"),
        (("x", "--kind", "smal"), "did you mean small?"),
    ],
)
def test_a_wrong_value_is_one_sentence(parse: Parse, arguments: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(UsageError) as error:
        parse(*arguments)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_fields_of_nested_models_are_options_too() -> None:
    assert [field.path for field in config_fields(Job)] == [
        ("input",),
        ("kind",),
        ("threshold",),
        ("refresh",),
        ("names",),
        ("mask", "points_per_side"),
    ]


def test_a_job_file_gives_values_by_option_name(tmp_path: Path) -> None:
    file = tmp_path / "job.toml"
    # with a byte order mark, as Windows editors write it
    file.write_text('\ufeffinput = "s3://bucket/a b"\nrefresh = true\n[mask]\npoints_per_side = 8\n')
    values = job_values(str(file), Job)
    assert values == {"input": "s3://bucket/a b", "refresh": True, "points_per_side": 8}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("refesh = true", "sets refesh, which is not an option; did you mean refresh?"),
        (
            "points_per_side = 8",
            "sets points_per_side, which is not an option; it belongs to mask.points_per_side",
        ),
        ("[mask]\nkind = 'small'", "sets mask.kind, which is not an option; it belongs to kind"),
        ("refresh = ", "is not a TOML job file"),
        ("mask = 3", "sets mask, which is not an option"),
        ('names = "*.png"', """is '*.png': give a list of texts, such as names = ["*.png"]"""),
        ("names = ['a', 3]", "is ['a', 3]: give a list of texts"),
        ("refresh = 'maybe'", "is 'maybe': give true or false"),
        ("input = ['a', 'b']", "is ['a', 'b']: give one value, not a list"),
    ],
)
def test_a_wrong_job_file_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "job.toml"
    file.write_text(text)
    with pytest.raises(UsageError) as error:
        job_values(str(file), Job)
    assert sentence in str(error.value)


def test_a_job_file_that_is_not_there_names_the_presets() -> None:
    with pytest.raises(UsageError, match=r"no job file nope, and no preset of that name .*quick"):
        job_values("nope", Job)
