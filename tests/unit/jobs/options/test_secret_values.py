"""Secrets in job files: recognised by form and by name, and never shown."""

import json
from pathlib import Path

import pytest

from jobs.options.fields import config_fields
from jobs.options.job_file import PRESETS, job_values
from jobs.options.secret_values import refuse_secrets
from pipeline.config import RunConfig
from pipeline.errors import UsageError

# Each is written in two parts, so that no secret scanner reports them.
AWS_KEY_ID = "AKIA" + "IOSFODNN7EXAMPLE"
TOKENS = [
    AWS_KEY_ID,
    "ghp_" + "a1" * 18,
    "hf_" + "aB" * 17,
    "eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "https://u:hunter22@host/sam.pth",
    "https://host/sam.pth?X-Amz-Signature=abcdef0123",
]


def refusal(tmp_path: Path, text: str) -> str:
    file = tmp_path / "job.toml"
    file.write_text(text)
    with pytest.raises(UsageError) as refused:
        job_values(str(file), RunConfig)
    return str(refused.value)


@pytest.mark.parametrize("secret", TOKENS)
@pytest.mark.parametrize(
    "line", ["checkpoint = {}", "# once {}", "nosuch = {}", "input = [", "workers = 1\nx = {}", "{} = 1"]
)
def test_a_secret_is_refused_wherever_it_stands_and_never_shown(
    tmp_path: Path, secret: str, line: str
) -> None:
    said = refusal(tmp_path, f"{line.format(json.dumps(secret))} # {secret}\n")
    assert "what looks like" in said
    assert "\n" not in said
    assert secret not in said
    assert "hunter22" not in said


def test_a_secret_spelt_with_escapes_is_refused_too(tmp_path: Path) -> None:
    said = refusal(tmp_path, f'checkpoint = "\\u0041{AWS_KEY_ID[1:]}"\n')
    assert "sets checkpoint to what looks like an AWS key id" in said
    assert AWS_KEY_ID not in said


@pytest.mark.parametrize(
    "line",
    [
        "aws_secret_access_key = 'wJalrXUtnFEMI'",
        "password = 'x'",
        'mask.api-key = "x"',
        "'hf_token' = 'x'",
        "#  AWS_ACCESS_KEY_ID=whatever",
        "client_secret_2 = '1'",
    ],
)
def test_a_secret_is_known_by_its_name(tmp_path: Path, line: str) -> None:
    assert "line 2 of " in refusal(tmp_path, f"limit = 3\n{line}\n")


def test_no_option_and_no_preset_looks_like_a_secret() -> None:
    refuse_secrets("all options", "\n".join(f'{field.name} = "value"' for field in config_fields(RunConfig)))
    for preset in PRESETS.glob("*.toml"):
        refuse_secrets(preset.name, preset.read_text(encoding="utf-8"))
    refuse_secrets("job.toml", 'input = "s3://photos/${DATE}/token-of-love/secret garden/key=1/a@b"\n')
