"""A web host on loopback with its own certificate, which serves images and misbehaves as the path says."""

import gzip
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import trustme

BODY = b"\xff\xd8\xff" + bytes(range(256)) * 40


@dataclass
class WebHost:
    """The host's address and its requests: how many per path, with which headers, how many at once."""

    port: int
    ca_bundle: str
    asked: Counter[str] = field(default_factory=Counter)
    headers: dict[str, str] = field(default_factory=dict)
    began_s: list[float] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    over: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str) -> str:
        return f"https://localhost:{self.port}/{path}"


@contextmanager
def web_host(folder: Path, is_trusted: bool = True) -> Iterator[WebHost]:
    """The host; its certificate is for localhost, or for another name."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost" if is_trusted else "elsewhere.test").configure_cert(context)
    with ThreadingHTTPServer(("127.0.0.1", 0), Misbehaving) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.daemon_threads = True
        host = WebHost(server.server_port, str(folder / "ca.pem"))
        server.host = host  # type: ignore[attr-defined]
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield host
        finally:
            host.over.set()
            server.shutdown()


class Misbehaving(BaseHTTPRequestHandler):
    """The last word of the path decides what happens; with `once/...` only to the first request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        host: WebHost = self.server.host  # type: ignore[attr-defined]
        with host.lock:
            host.asked[self.path] += 1
            host.at_once += 1
            host.most_at_once = max(host.most_at_once, host.at_once)
            host.headers = dict(self.headers)
            host.began_s.append(time.monotonic())
            is_first = host.asked[self.path] == 1
        try:
            once, word = self.path.startswith("/once/"), self.path.rpartition("/")[2].partition("?")[0]
            self.answer("image" if once and not is_first else word, host)
        finally:
            with host.lock:
                host.at_once -= 1

    def answer(self, word: str, host: WebHost) -> None:
        if word.isdecimal():
            self.send(int(word), b"no")
        elif word == "busy":
            self.send(429, b"", {"Retry-After": "1"})
        elif word == "busy-until":
            self.send(503, b"", {"Retry-After": formatdate(time.time() + 2, usegmt=True)})
        elif word == "endless":
            self.send(302, b"", {"Location": "endless"})
        elif word == "moved":
            self.send(301, b"", {"Location": "/image"})
        elif word == "inward":
            self.send(302, b"", {"Location": "https://169.254.169.254/latest/meta-data"})
        elif word == "to-http":
            self.send(302, b"", {"Location": f"http://localhost:{host.port}/image"})
        elif word == "to-file":
            self.send(302, b"", {"Location": "file:///etc/passwd"})
        elif word == "gzip":
            self.send(200, gzip.compress(bytes(1 << 20)), {"Content-Encoding": "gzip"})
        elif word == "short":
            self.send(200, BODY[:500], {"Content-Length": str(len(BODY))})
        elif word == "lying":
            self.send(200, BODY, {"Content-Length": "500"})
        elif word == "announced":
            self.send(200, b"", {"Content-Length": str(1 << 40)})
        elif word.startswith("unending"):
            self.send(200, None, {"Connection": "close"})
            while not host.over.is_set():
                self.wfile.write(bytes(1 << 16))
        elif word == "slow":
            self.send(200, None, {"Content-Length": str(len(BODY))})
            while not host.over.wait(0.05):
                self.wfile.write(b"x")
        elif word == "slow-headers":
            while not host.over.wait(0.05):
                self.wfile.write(b"x")
        elif word == "dated":
            self.send(200, BODY, {"Last-Modified": "Mon, 02 Nov 2026 10:00:00 GMT"})
        elif word == "plain":
            self.send(200, BODY)
        else:
            self.send(200, BODY, {"ETag": 'W/"one"'})

    def send(self, status: int, body: bytes | None, headers: dict[str, str] | None = None) -> None:
        headers = headers or {}
        self.send_response(status)
        if body is not None and "Content-Length" not in headers:
            headers["Content-Length"] = str(len(body))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body or b"")
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing."""
