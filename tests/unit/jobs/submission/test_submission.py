"""What is sent to a cluster: the command's words and the wheel; also which addresses are refused."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import distributions
from pathlib import Path
from threading import Thread

import pytest
from commands import ran

from jobs.submission.command_words import run_words
from jobs.submission.installed_wheel import installed_wheel
from jobs.submission.parsed import config_of
from jobs.submission.runtime_environment import STOPS_IN_ORDER, runtime_environment
from pipeline.cluster import job_server
from pipeline.config import RunConfig
from pipeline.errors import UsageError

ROOT = Path(__file__).parents[4]


def submitted(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code, _, err = ran(capsys, "submit", *words)
    return code, err


@pytest.fixture
def job(tmp_path: Path) -> str:
    file = tmp_path / "job.toml"
    file.write_text('input = "s3://photos"\noutput = "s3://masks/${DATE}"\n')
    return str(file)


def test_the_words_of_a_configuration_come_to_it_again() -> None:
    config = RunConfig.model_validate(
        {
            "input": "-s3 'a' \"b\" ${DATE} $$ \n",
            "output": "/o #%",
            "workers": 3,
            "refresh": True,
            "max_failures": "5%",
            "include": ["*.png", "2026/ö 1/**"],
            "exclude": ["thumbs/"],
            "mask": {"points_per_side": 8, "pred_iou_thresh": 0.1},
            "storage": {"requester_pays": True, "output": {"requester_pays": False}},
        }
    )
    words = run_words(config)
    assert words[:2] == ["sam-label", "run"]
    assert config_of(RunConfig, words[2:]) == config


def test_a_secret_is_not_sent_as_a_word() -> None:
    signed = "https://host/sam.pth?X-Amz-Signature=abcdef"
    with pytest.raises(UsageError, match="set SAM_LABEL_CHECKPOINT on the cluster") as refused:
        run_words(RunConfig(input="s3://a", output="s3://b", checkpoint=signed))
    assert "abcdef" not in str(refused.value)


def test_the_wheel_is_what_is_installed(tmp_path: Path) -> None:
    wheel = installed_wheel(tmp_path)
    python = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-compile", "--quiet"]
    subprocess.run([*python, "--no-index", "--target", str(tmp_path / "there"), str(wheel)], check=True)
    (there,) = distributions(path=[str(tmp_path / "there")])
    digest = there.version.partition("+")[2]
    assert len(digest) == 12, "another content has another name"
    assert [point.value for point in there.entry_points] == ["jobs.entry:main"]
    for name in ("sam_core/weights/mobile_sam.safetensors", "jobs/submission/templates/slurm.sbatch"):
        assert (tmp_path / "there" / name).read_bytes() == (ROOT / name).read_bytes()
    assert list((tmp_path / "there").rglob("*.so")), "the kernels go along"


def test_what_a_cluster_gets_along() -> None:
    with runtime_environment("registry/sam-label:1", preinstalled=False) as by_image:
        assert by_image == {"image_uri": "registry/sam-label:1", **STOPS_IN_ORDER}
    with runtime_environment(None, preinstalled=True) as installed:
        assert installed == STOPS_IN_ORDER
    with pytest.raises(UsageError, match="exclude"), runtime_environment("i", preinstalled=True):
        pass


def test_a_wrong_job_is_refused_before_the_cluster_is_asked(
    capsys: pytest.CaptureFixture[str], job: str
) -> None:
    nowhere = ("--address", "http://127.0.0.1:1")
    for words, sentence in (
        (("--", "--limt", "3"), "--limit"),
        (("--stop-on-term",), "--stop-on-term needs --follow"),
        (("--", "--workers", "0"), "--workers is '0'"),
        (("--var", "REGION=eu"), "--var sets REGION"),
        (("--", "--config", "quick"), "--config is given 2 times"),
        (
            ("--image", "a", "--preinstalled", "--", "photos", "masks"),
            "a relative path, which does not work on a cluster",
        ),
    ):
        code, err = submitted(capsys, job, *nowhere, *words)
        assert (code, err.count("\n")) == (2, 1), err
        assert sentence in err


@pytest.mark.parametrize(
    ("address", "code", "sentence"),
    [
        (
            "ray://head:10001",
            2,
            "is not the address of a job server; give the dashboard's, such as http://HOST:8265",
        ),
        ("http://u:hunter2@head:8265", 2, "http://***head:8265 is not the address"),
        ("head.example:8265", 2, "without token authentication"),
        ("http://head:notaport", 2, "is not the address"),
        ("127.0.0.1:1", 1, "no job server answered at http://127.0.0.1:1"),
    ],
)
def test_an_address_that_leads_nowhere(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    job: str,
    address: str,
    code: int,
    sentence: str,
) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:2")  # which Ray's client would prefer
    ended, err = submitted(capsys, job, "--address", address)
    assert (ended, err.count("\n")) == (code, 1), err
    assert sentence in err
    assert "hunter2" not in err


def test_a_server_that_never_answers_is_given_up(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, job: str
) -> None:
    monkeypatch.setattr(job_server, "ANSWER_S", 0.3)
    monkeypatch.setattr("jobs.cli.exit_process", sys.exit)  # the other would end the tests
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        started = time.monotonic()
        code, err = submitted(capsys, job, "--address", f"127.0.0.1:{deaf.getsockname()[1]}")
        assert time.monotonic() - started < 30
    assert code == 1
    assert "did not answer within 0.3 s" in err


@pytest.fixture
def old_cluster() -> Iterator[str]:
    """A server that answers like the dashboard of a Ray 2.9 cluster."""

    class OldDashboard(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            metadata = b'{"data": {"rayVersion": "2.9.0", "pythonVersion": "3.9.2"}}'
            is_version = self.path == "/api/version"
            body = b'{"version": "4", "ray_version": "2.9.0"}' if is_version else metadata
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), OldDashboard) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_cluster_of_another_ray_or_python_is_refused(
    capsys: pytest.CaptureFixture[str], job: str, old_cluster: str
) -> None:
    code, err = submitted(capsys, job, "--address", old_cluster)
    assert code == 2
    assert "has Ray 2.9.0 and Python 3.9.2, but sam-label needs Ray" in err
    assert err.count("\n") == 1
