"""Weights from a server on loopback that breaks off, is wrong or has no ranges; and where they are stored."""

import hashlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import pipeline.weights.models
from pipeline.config import RunConfig
from pipeline.errors import SamLabelError, UsageError
from pipeline.weights.download import download
from pipeline.weights.models import cache_folder, checkpoint_path, known_models, pull, weights_of
from sam_core.weights.files import bundled_checkpoint, sha256_of
from sam_core.weights.known import KNOWN_CHECKPOINTS

CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class WeightsServer(ThreadingHTTPServer):
    """Serves CONTENT under every path; counts the bytes sent."""

    has_ranges = True
    cut_after: int | None = None
    sent_bytes = 0
    stalls = False
    leads_to: str | None = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.has_sent = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class Answer(BaseHTTPRequestHandler):
    server: WeightsServer

    def do_GET(self) -> None:
        if self.server.leads_to is not None:
            self.send_response(302)
            self.send_header("Location", self.server.leads_to)
            self.end_headers()
            return
        wanted = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-")
        start = int(wanted) if self.server.has_ranges else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        body = CONTENT[start : self.server.cut_after]
        self.server.sent_bytes += len(body)  # before the client can have it all and read the count
        self.wfile.write(body)
        self.server.has_sent.set()
        if self.server.stalls:
            self.rfile.read()  # until the client leaves

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[WeightsServer]:
    server = WeightsServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))  # how soon it sees its shutdown
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAM_LABEL_CACHE", str(tmp_path / "cache"))
    return cache_folder()


def silent(here: int, whole: int) -> None:
    """No progress is shown."""


def test_a_download_is_whole_and_leaves_nothing_beside_it(server: WeightsServer, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    download(server.url, tmp_path / "new" / "w.pth", SHA256, lambda here, whole: told.append((here, whole)))
    assert (tmp_path / "new" / "w.pth").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["w.pth"]
    assert told[-1] == (len(CONTENT), len(CONTENT))


@pytest.mark.parametrize("has_ranges", [True, False])
def test_a_cut_off_download_goes_on_where_it_stopped(
    server: WeightsServer, tmp_path: Path, has_ranges: bool
) -> None:
    target = tmp_path / "w.pth"
    server.has_ranges, server.cut_after = has_ranges, 300_000
    with pytest.raises(SamLabelError, match=r"ended after 300000 of 1048576 bytes.*continues from there"):
        download(server.url, target, SHA256, silent)
    assert not target.exists()
    server.cut_after, server.sent_bytes = None, 0
    download(server.url, target, SHA256, silent)
    assert target.read_bytes() == CONTENT
    assert server.sent_bytes == len(CONTENT) - (300_000 if has_ranges else 0)


def test_a_download_killed_before_its_last_step_is_finished(server: WeightsServer, tmp_path: Path) -> None:
    (tmp_path / "w.pth.partial").write_bytes(CONTENT)
    download(server.url, tmp_path / "w.pth", SHA256, silent)
    assert (tmp_path / "w.pth").read_bytes() == CONTENT
    assert server.sent_bytes == 0


def test_wrong_bytes_never_get_the_name(server: WeightsServer, tmp_path: Path) -> None:
    with pytest.raises(SamLabelError, match=f"its sha256 is {SHA256}, not {'0' * 64}"):
        download(server.url, tmp_path / "w.pth", "0" * 64, silent)
    assert list(tmp_path.glob("w.pth*")) == []


def test_without_a_network_there_is_one_sentence(server: WeightsServer, tmp_path: Path) -> None:
    server.shutdown()
    server.server_close()  # its port now refuses
    with pytest.raises(SamLabelError, match="without network, download the file on another machine"):
        download(server.url, tmp_path / "w.pth", None, silent)


@pytest.mark.parametrize("url", ["ftp://host/w.pth", "simplecache::http://host/w.pth", "w.pth"])
def test_other_schemes_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot fetch"):
        download(url, tmp_path / "w.pth", None, silent)


def test_processes_that_want_the_same_file_fetch_it_once(server: WeightsServer, cache: Path) -> None:
    code = (
        "import sys; from pipeline.weights.models import checkpoint_path; print('ready', flush=True);"
        "sys.stdin.readline(); print(checkpoint_path(None, sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, f"{server.url}w.pth"]
    wanting = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for process in wanting:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in wanting:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    paths = {process.communicate(timeout=60)[0].strip() for process in wanting}
    assert [process.returncode for process in wanting] == [0, 0, 0, 0]
    assert [Path(path).read_bytes() == CONTENT for path in paths] == [True]
    assert server.sent_bytes == len(CONTENT)
    assert len(list((cache / "urls").iterdir())) == 1


def test_a_cut_off_url_without_a_known_sha256_is_fetched_from_its_start(
    server: WeightsServer, tmp_path: Path
) -> None:
    (tmp_path / "w.pth.partial").write_bytes(b"half of an older version")
    download(server.url, tmp_path / "w.pth", None, silent)
    assert (tmp_path / "w.pth").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://169.254.169.254/w.pth", "link-local"),
        ("https://[::ffff:169.254.169.254]/w.pth", "link-local"),
        ("http://192.0.2.1/w.pth?token=abc", "not encrypted"),
    ],
)
def test_unsafe_hosts_are_refused_also_behind_a_redirect(
    server: WeightsServer, tmp_path: Path, url: str, sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence) as direct:
        download(url, tmp_path / "w.pth", None, silent)
    server.leads_to = url
    with pytest.raises(UsageError, match=sentence):
        download(server.url, tmp_path / "w.pth", None, silent)
    assert "abc" not in str(direct.value)


def test_an_interrupted_pull_says_how_to_go_on(server: WeightsServer, cache: Path) -> None:
    server.stalls, server.cut_after = True, 1000
    command = [sys.executable, "-c", "from jobs.cli import main; main()", "models", "pull", "vit_b", "--from"]
    with subprocess.Popen([*command, server.url], stderr=subprocess.PIPE, text=True) as pull_command:
        assert server.has_sent.wait(60)
        pull_command.send_signal(signal.SIGINT)
        _, err = pull_command.communicate(timeout=60)
    assert pull_command.returncode == 130
    assert err.endswith("sam-label: interrupted; run the same command again to continue\n")
    assert "Traceback" not in err
    assert not (cache / "sam_vit_b_01ec64.pth").exists()


def test_a_pulled_model_is_cached_and_found(
    server: WeightsServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(KNOWN_CHECKPOINTS[0], model_type="vit_b", file_name="small.pth", sha256=SHA256)
    monkeypatch.setattr(pipeline.weights.models, "KNOWN_CHECKPOINTS", (small,))
    with pytest.raises(UsageError, match="models pull vit_b"):
        checkpoint_path("vit_b", None)
    assert pull("vit_b", server.url, silent) == cache / "small.pth"
    assert checkpoint_path("vit_b", None) == cache / "small.pth"
    assert [model.place for model in known_models()] == ["cached"]
    server.sent_bytes = 0
    pull("vit_b", server.url, silent)
    assert server.sent_bytes == 0, "what is there is not fetched again"


def test_a_mirror_may_be_a_folder(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(KNOWN_CHECKPOINTS[0], file_name="small.pth", sha256=SHA256)
    monkeypatch.setattr(pipeline.weights.models, "KNOWN_CHECKPOINTS", (small,))
    (tmp_path / "small.pth").write_bytes(CONTENT)
    assert pull("vit_h", f"file://{tmp_path}/", silent).read_bytes() == CONTENT


def test_a_checkpoint_is_a_path_a_url_or_the_bundled_one(server: WeightsServer, tmp_path: Path) -> None:
    (tmp_path / "mine.pth").write_bytes(CONTENT)
    assert checkpoint_path(None, None) is None
    assert checkpoint_path("vit_t", None) is None
    assert checkpoint_path("vit_h", str(tmp_path / "mine.pth")) == tmp_path / "mine.pth"
    fetched = checkpoint_path(None, f"{server.url}other.pth")
    assert fetched is not None
    assert fetched.read_bytes() == CONTENT
    with pytest.raises(UsageError, match=r"no checkpoint .*gone\.pth"):
        checkpoint_path(None, str(tmp_path / "gone.pth"))


def test_a_checkpoint_may_be_a_folder(tmp_path: Path) -> None:
    assert checkpoint_path(None, str(tmp_path)) == tmp_path
    with pytest.raises(UsageError, match=r"the folder .* holds no model\.safetensors or pytorch_model\.bin"):
        weights_of(RunConfig(input="in", output="out", checkpoint=str(tmp_path)))


def test_the_bundled_weights_are_what_is_known_of_them() -> None:
    (bundled,) = (model for model in known_models() if model.place == "bundled")
    assert bundled.path == bundled_checkpoint()
    assert sha256_of([bundled_checkpoint()]) == bundled.checkpoint.sha256
    assert weights_of(RunConfig(input="in", output="out")).sha256 == bundled.checkpoint.sha256
