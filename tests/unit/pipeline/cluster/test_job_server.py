"""Following a log over a connection that breaks. With a real Ray: tests/integration/test_cluster_token.py."""

import asyncio
from collections.abc import Iterator
from threading import Thread

import pytest
from aiohttp import web

from pipeline.cluster import job_server
from pipeline.cluster.job_server import JobServer

LOG = "one\ntwo\nthree\nfour\n"


class Flaky:
    """Answers like Ray's dashboard; the log's connection breaks within a word, the next one falls silent."""

    def __init__(self) -> None:
        self.connections = 0

    async def version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": "4", "ray_version": "2.60.0"})

    async def metadata(self, _: web.Request) -> web.Response:
        return web.json_response({"data": {"rayVersion": "2.60.0", "pythonVersion": "3.11.7"}})

    async def job(self, _: web.Request) -> web.Response:
        status = "RUNNING" if self.connections < 3 else "FAILED"
        exit_code = None if self.connections < 3 else 3
        job = {"type": "SUBMISSION", "submission_id": "j", "status": status, "entrypoint": "sam-label run"}
        return web.json_response(job | {"driver_exit_code": exit_code})

    async def log(self, _: web.Request) -> web.Response:
        return web.json_response({"logs": LOG})

    async def tail(self, request: web.Request) -> web.WebSocketResponse:
        self.connections += 1
        connection = web.WebSocketResponse()
        await connection.prepare(request)
        await connection.send_str(LOG[: 3 * self.connections])
        if self.connections == 1:
            assert request.transport is not None
            request.transport.abort()
        elif self.connections == 2:
            await asyncio.sleep(1)
        return connection


@pytest.fixture
def flaky() -> Iterator[str]:
    """The address of such a server, on loopback."""
    server, loop = Flaky(), asyncio.new_event_loop()
    app = web.Application()
    app.add_routes(
        [
            web.get("/api/version", server.version),
            web.get("/api/v0/cluster_metadata", server.metadata),
            web.get("/api/jobs/j", server.job),
            web.get("/api/jobs/j/logs", server.log),
            web.get("/api/jobs/j/logs/tail", server.tail),
        ]
    )
    runner = web.AppRunner(app, shutdown_timeout=0)
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()

    asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def test_a_log_is_followed_through_a_broken_and_a_silent_connection(
    flaky: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_server, "SILENCE_S", 0.3)
    monkeypatch.setattr(job_server, "CONNECT_AGAIN_S", 0.05)
    written: list[str] = []
    job = JobServer(flaky).follow("j", written.append)
    assert "".join(written) == LOG, "nothing twice, nothing left out"
    assert (job.status, job.exit_code, job.has_ended) == ("FAILED", 3, True)
