"""An HTTP proxy on loopback that breaks one in ten requests to an object store."""

import http.client
import random
import select
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import urlsplit

SHARE = 0.1
FAULTS = ("503", "reset", "lost answer", "short body", "stall")
STALL_MOST_S = 60  # for clients without a timeout
SLOW_DOWN = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your rate.</Message></Error>"
)


class _Spoiler(BaseHTTPRequestHandler):
    """Forwards a request or breaks it: before it reaches the store, or its response on the way back."""

    protocol_version = "HTTP/1.1"
    upstream: ClassVar[str]
    faults: ClassVar[Counter[str]]
    requests: ClassVar[Counter[str]]
    random: ClassVar[random.Random]
    lock: ClassVar[threading.Lock]

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self._drawn_fault()
        if fault == "503":
            self._answer(503, {"Content-Type": "application/xml"}, SLOW_DOWN)
            return
        if fault == "reset":
            self._reset()
            return
        connection = http.client.HTTPConnection(self.upstream, timeout=60)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        content = answer.read()
        headers = {
            name: value
            for name, value in answer.getheaders()
            if name.lower() not in ("transfer-encoding", "connection", "content-length", "date", "server")
        }
        length = int(answer.getheader("Content-Length") or len(content))
        connection.close()
        if fault == "lost answer":
            self._reset()
        elif fault in ("short body", "stall"):
            self._answer(answer.status, headers, content[: len(content) // 2], max(length, 1))
            if fault == "stall":  # until the client hangs up
                select.select([self.connection], [], [], STALL_MOST_S)
            self._reset()
        else:
            self._answer(answer.status, headers, content, length)

    def _drawn_fault(self) -> str | None:
        with self.lock:
            self.requests[self.command] += 1
            if self.random.random() >= SHARE:
                return None
            fault = self.random.choice(FAULTS)
            self.faults[fault] += 1
            return fault

    def _answer(self, status: int, headers: dict[str, str], body: bytes, length: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _reset(self) -> None:
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _forward  # names that http.server asks for

    def log_message(self, *args: object) -> None:
        """Logs nothing, because people read a test's output."""


@contextmanager
def faulty_proxy(endpoint: str, seed: int) -> Iterator[tuple[str, Counter[str], Counter[str]]]:
    """The proxy's endpoint, its faults so far by kind, and its requests so far by method."""
    faults: Counter[str] = Counter()
    requests: Counter[str] = Counter()
    facts = {
        "upstream": urlsplit(endpoint).netloc,
        "faults": faults,
        "requests": requests,
        "random": random.Random(seed),
        "lock": threading.Lock(),
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Spoiler", (_Spoiler,), facts))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", faults, requests
    finally:
        server.shutdown()
        server.server_close()
