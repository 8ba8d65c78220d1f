"""[storage] of a job file: the resulting settings of each place, and the settings that are errors."""

import json
from pathlib import Path

import pytest
from commands import ran

from pipeline.config import RunConfig
from pipeline.errors import UsageError
from pipeline.store.azure_blobs import client as azure_client
from pipeline.store.hosts import Address, addresses, is_public
from pipeline.store.s3 import client
from pipeline.store.settings import Access, PlaceSettings, recorded_access

JOB = """
input = "s3://photos"
output = "s3://masks"
[storage]
region = "eu-west-1"
profile = "work"
[storage.input]
requester_pays = true
profile = "public"
[storage.output]
endpoint_url = "https://minio.lan:9000"
[storage.https]
delay_s = 1
"""


def shown(capsys: pytest.CaptureFixture[str], job: Path, *arguments: str) -> tuple[int, str, str]:
    return ran(capsys, "config", "show", "--config", job, *arguments)


def config_of(options: dict[str, object]) -> RunConfig:
    return RunConfig.model_validate({"input": "s3://photos", "output": "s3://masks", "storage": options})


def test_a_place_has_its_own_settings_over_the_common_ones() -> None:
    config = config_of(
        {
            "region": "eu-west-1",
            "profile": "work",
            "requester_pays": True,
            "input": {"profile": "public"},
            "output": {"requester_pays": False, "endpoint_url": "https://minio.lan:9000"},
        }
    )
    assert config.access.place == PlaceSettings(region="eu-west-1", profile="public", requester_pays=True)
    assert config.output_access.place == PlaceSettings(
        region="eu-west-1", profile="work", requester_pays=False, endpoint_url="https://minio.lan:9000"
    )


def test_a_job_file_sets_them_and_what_show_prints_sets_them_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    job = tmp_path / "job.toml"
    job.write_text(JOB)
    code, out, _ = shown(capsys, job, "--storage-https-connections", "2", "--json")
    assert code == 0
    values = json.loads(out)
    assert values["storage_profile"] == "work"
    assert values["storage_input_profile"] == "public"
    assert (values["storage_https_delay_s"], values["storage_https_connections"]) == (1, 2)
    _, first, _ = shown(capsys, job)
    job.write_text(first)
    assert shown(capsys, job)[1] == first
    assert "[storage.output]\nendpoint_url = " in first


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('endpoint_url = "https://me:pass@host"', "a URL with credentials"),
        ('aws_secret_access_key = "abc"', "a secret by its name"),
        ('sas_token = "abc"', "a secret by its name"),
        ('endpoint_url = "minio:9000"', "storage_endpoint_url in"),
        ('endpoint = "https://host"', "did you mean storage.endpoint_url?"),
    ],
)
def test_secrets_and_mistakes_are_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, line: str, told: str
) -> None:
    job = tmp_path / "job.toml"
    job.write_text(f"[storage]\n{line}\n")
    code, _, err = shown(capsys, job)
    assert code == 2
    assert told in " ".join(err.split())


def test_s3_gets_what_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    (tmp_path / "config").write_text("[profile work]\naws_access_key_id = a\naws_secret_access_key = b\n")
    place = PlaceSettings(
        endpoint_url="https://127.0.0.1:9000",
        region="eu-west-1",
        profile="work",
        requester_pays=True,
        addressing_style="path",
    )
    s3 = client(Access(place=place))
    assert s3.s3.meta.endpoint_url == "https://127.0.0.1:9000"
    assert s3.s3.meta.region_name == "eu-west-1"
    assert s3.s3.meta.config.s3["addressing_style"] == "path"
    assert s3.req_kw == {"RequestPayer": "requester"}


def test_a_dataset_does_not_say_where_its_reader_sends_requests() -> None:
    recorded = config_of(
        {"endpoint_url": "https://evil.test", "https": {"allow_private_hosts": True, "allow_http": True}}
    ).recorded()
    access = recorded_access(recorded)
    assert access.place == PlaceSettings()
    assert (access.https.allow_private_hosts, access.https.allow_http) == (False, True)


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("10.0.0.1", False),
        ("127.0.0.1", False),
        ("0.0.0.0", False),  # noqa: S104
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fd00:ec2::254", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("2002:a9fe:a9fe::1", False),
    ],
)
def test_which_addresses_are_public(text: str, public: bool) -> None:
    known: list[Address] = addresses(text)
    assert [is_public(address) for address in known] == [public]


@pytest.mark.parametrize(
    "text", ["AccountName=a;AccountKey=not base64", "AccountKey=YQ==", "no string at all"]
)
def test_a_connection_string_of_azure_that_cannot_work_is_refused_before_any_request(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text)
    with pytest.raises(UsageError, match="CONNECTION_STRING cannot be read; copy it again"):
        azure_client(Access())
