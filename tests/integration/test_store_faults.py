"""A server that misbehaves in every way before it gives the object: the reader gets the whole object."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import stamina

from pipeline.errors import Reason, StoreError
from pipeline.shutdown import in_the_time_left
from pipeline.store import s3
from pipeline.store.faults import TRIES
from pipeline.store.storage import Store

BODY = b"x" * 10_000
ONCE = ["slow down", "internal error", "closed at once", "short body", "broken xml"]


class Server(HTTPServer):
    """Answers every GET with the next of `faults`, and with the object once none is left."""

    faults: list[str]
    requests: int


class Misbehaving(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests += 1
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        match self.server.faults.pop(0) if self.server.faults else "":
            case "slow down":
                self.answer(503, b"<Error><Code>SlowDown</Code><Message>busy</Message></Error>")
            case "internal error":
                self.answer(500, b"<Error><Code>InternalError</Code><Message>oops</Message></Error>")
            case "forbidden":
                self.answer(403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
            case "broken xml":
                self.answer(503, b"<html>try la")
            case "short body":
                self.answer(200, BODY[:5000], announced=len(BODY))
            case "closed at once":
                self.close_connection = True
            case _:
                self.answer(200, BODY)

    do_PUT = do_GET

    def answer(self, status: int, body: bytes, announced: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(announced or len(body)))
        self.send_header("ETag", '"e"')
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Misbehaving) as server:
        server.faults, server.requests = [], 0
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        s3.client.cache_clear()
        with stamina.set_testing(True, attempts=TRIES):  # without the waits
            yield server
        s3.client.cache_clear()
        server.shutdown()


def test_transient_faults_of_every_kind_are_tried_again(server: Server) -> None:
    server.faults = list(ONCE)
    assert Store.at("s3://bucket").get("x").data == BODY
    assert server.requests == len(ONCE) + 1  # one layer of retries, not three


def test_a_fault_that_stays_is_told_after_the_last_try(server: Server) -> None:
    server.faults = ["short body"] * 100
    with pytest.raises(StoreError, match="run again when the store answers") as caught:
        Store.at("s3://bucket").read("x")
    assert caught.value.reason is Reason.SOURCE_UNAVAILABLE
    assert server.requests == TRIES


def test_an_end_does_not_wait_for_a_store_that_is_gone(server: Server) -> None:
    server.faults = ["slow down"] * 100
    in_the_time_left(lambda: Store.at("s3://bucket").publish("x", b""), 60)
    assert server.requests == 1
    with pytest.raises(StoreError):
        Store.at("s3://bucket").read("x")
    assert server.requests == 1 + TRIES


def test_an_end_does_not_wait_for_a_store_that_hangs() -> None:
    answers, callers = threading.Event(), []

    def hang() -> None:
        callers.append(threading.current_thread())
        answers.wait(60)

    in_the_time_left(hang, 0.5)
    (caller,) = callers
    assert caller.is_alive(), "it came back only when the call had ended"
    answers.set()
    caller.join()


def test_a_permanent_fault_is_told_at_once(server: Server) -> None:
    server.faults = ["forbidden"] * 100
    with pytest.raises(StoreError, match="check the permissions") as caught:
        Store.at("s3://bucket").read("x")
    assert caught.value.reason is Reason.FORBIDDEN
    assert server.requests == 1
