"""Images on the web: which are fetched, at which pace, and which are refused, from a host that misbehaves."""

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import stamina
from forked import ends_well_when_forked
from web_host import BODY, WebHost, web_host

from pipeline.errors import ImageError, Reason, StoreError, UsageError
from pipeline.images.fetch import FetchSettings, fetched
from pipeline.inputs.options import SourceOptions
from pipeline.inputs.source import Source
from pipeline.store.objects import UNKNOWN_SIZE
from pipeline.store.settings import Access, HttpsSettings, PlaceSettings
from pipeline.store.storage import Store

TRIES = 2


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebHost]:
    with web_host(tmp_path_factory.mktemp("web")) as host:
        yield host


@pytest.fixture
def host(started: WebHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebHost]:
    started.asked.clear()
    started.began_s.clear()
    started.most_at_once = 0
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # this test's own lock files
    with stamina.set_testing(True, attempts=TRIES):  # without the waits
        yield started


def access(host: WebHost, **settings: object) -> Access:
    https = HttpsSettings.model_validate({"allow_private_hosts": True, "timeout_s": 10, **settings})
    return Access(place=PlaceSettings(ca_bundle=host.ca_bundle), https=https)


def reason_at(host: WebHost, path: str, **settings: object) -> Reason:
    """The reason in the image's row."""
    row = {"uri": host.url(path), "size": UNKNOWN_SIZE, "etag": ""}
    with pytest.raises(ImageError) as caught:
        fetched(row, FetchSettings(None, access(host, **settings), 1 << 20))
    return caught.value.reason


def test_an_image_is_fetched_by_its_url_as_it_is(host: WebHost) -> None:
    store, name = Store.of_uri(host.url("a%20b/ü c.jpg?size=1&x=[y]#part"), access(host))
    got = store.get(name)
    assert (got.data, got.etag) == (BODY, "one")
    assert list(host.asked) == ["/a%20b/%C3%BC%20c.jpg?size=1&x=[y]"]
    assert host.headers["User-Agent"].startswith("sam-label/")
    assert host.headers["Accept-Encoding"] == "identity"
    assert store.read_range("image", 2, 5) == BODY[2:5], "from a host without ranges"


def test_what_stands_for_the_content_is_the_hosts_word_or_a_hash(host: WebHost) -> None:
    store, _ = Store.of_uri(host.url(""), access(host))
    assert store.get("moved").etag == "one"
    assert store.get("dated").etag == f"Mon, 02 Nov 2026 10:00:00 GMT, {len(BODY)} bytes"
    assert store.get("plain").etag == store.get("x/plain").etag != ""
    entry = store.info("dated")
    assert entry is not None
    assert (entry.size, entry.etag) == (len(BODY), store.get("dated").etag)
    assert store.info("404") is None


@pytest.mark.parametrize("name", ["unending.tar", "unending.tar.gz", "unending.parquet", "unending.txt"])
def test_what_is_read_in_parts_needs_a_length(host: WebHost, name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} is served without a length; download it"):
        list(Source.at(host.url(name), SourceOptions(access=access(host))).rows())


def test_one_url_is_an_input(host: WebHost) -> None:
    source = Source.at(host.url("image.jpg"), SourceOptions(access=access(host)))
    (row,) = source.rows()
    assert (row.uri, row.size, row.etag) == (host.url("image.jpg"), len(BODY), "one")
    with pytest.raises(UsageError, match="cannot be listed, because web servers have no listing"):
        list(Source.at(host.url("404"), SourceOptions(access=access(host))).rows())


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("404", Reason.SOURCE_MISSING),
        ("410", Reason.SOURCE_MISSING),
        ("401", Reason.FORBIDDEN),
        ("403", Reason.FORBIDDEN),
        ("endless", Reason.SOURCE_UNAVAILABLE),
        ("inward", Reason.FORBIDDEN),
        ("to-http", Reason.FORBIDDEN),
        ("to-file", Reason.FORBIDDEN),
        ("gzip", Reason.UNSUPPORTED),
        ("announced", Reason.TOO_LARGE),
        ("unending", Reason.TOO_LARGE),
    ],
)
def test_what_no_other_try_cures_is_a_typed_row_at_once(host: WebHost, path: str, reason: Reason) -> None:
    assert reason_at(host, path, max_bytes=1 << 20) is reason
    assert host.asked[f"/{path}"] == (6 if path == "endless" else 1)


@pytest.mark.parametrize("path", ["503", "short", "lying", "slow", "slow-headers"])
def test_what_may_pass_is_tried_again_and_then_a_row(host: WebHost, path: str) -> None:
    timeout_s = 0.5 if path.startswith("slow") else 10
    assert reason_at(host, path, timeout_s=timeout_s) is Reason.SOURCE_UNAVAILABLE
    assert host.asked[f"/{path}"] == TRIES
    store, name = Store.of_uri(host.url(f"once/{path}"), access(host, timeout_s=timeout_s))
    assert store.read(name) == BODY


@pytest.mark.parametrize("path", ["once/busy", "once/busy-until"])
def test_a_busy_host_is_left_alone_for_as_long_as_it_asks(host: WebHost, path: str) -> None:
    store, name = Store.of_uri(host.url(path), access(host))
    assert store.read(name) == BODY
    first, second = host.began_s
    assert second - first > 0.9


def test_a_host_is_asked_gently_by_all_of_a_machine(host: WebHost) -> None:
    gentle = access(host, connections=2, delay_s=0.05)
    with ThreadPoolExecutor(8) as threads:
        stores = [Store.of_uri(host.url("image"), gentle)[0] for _ in range(8)]
        began_s = time.monotonic()
        list(threads.map(lambda store: store.read("image"), stores))
    assert host.most_at_once <= 2
    assert time.monotonic() - began_s > 7 * 0.05


@pytest.mark.parametrize("named", ["localhost", "127.0.0.1", "[::1]", "2130706433", "169.254.169.254"])
def test_private_hosts_are_not_asked(host: WebHost, named: str) -> None:
    store, name = Store.of_uri(f"https://{named}:{host.port}/image")
    with pytest.raises(StoreError, match="which is not public") as caught:
        store.read(name)
    assert caught.value.reason is Reason.FORBIDDEN
    assert not host.asked


def test_a_certificate_for_another_name_is_refused(host: WebHost, tmp_path: Path) -> None:
    with web_host(tmp_path, is_trusted=False) as other:
        assert reason_at(other, "image") is Reason.FORBIDDEN
    assert reason_at(other, "image") is Reason.SOURCE_UNAVAILABLE, "nobody listens"


def test_http_is_read_where_that_is_allowed(host: WebHost) -> None:
    store, name = Store.of_uri(f"http://localhost:{host.port}/image", access(host))
    with pytest.raises(StoreError, match=r"storage\.https\.allow_http"):
        store.read(name)
    with pytest.raises(UsageError, match="contains credentials"):
        Store.of_uri("https://me:secret@host/a.jpg")
    assert not Store.at(host.url("x")).is_writable


def test_a_forked_process_opens_a_session_of_its_own_and_says_nothing(
    host: WebHost, caplog: pytest.LogCaptureFixture
) -> None:
    store, name = Store.of_uri(host.url("image"), access(host))
    assert store.read(name) == BODY
    assert ends_well_when_forked(lambda: store.read(name) == BODY and not caplog.records)
    assert store.read(name) == BODY
