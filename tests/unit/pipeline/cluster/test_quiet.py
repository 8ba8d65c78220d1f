"""Standard output is for data: Ray's thread does not print there, all other code can."""

import logging
import os
import sys
import threading
from contextlib import suppress

import pytest
from ray._common.usage.usage_lib import usage_stats_enabled
from ray.data import DataContext

from pipeline.cluster.quiet import native_stderr_hushed, quiet_ray


def test_rays_notices_are_logged_and_not_printed(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sam_label.ray")
    with quiet_ray():
        print("data")
        for name in ("ray_listen_error_messages", "somebody else"):
            thread = threading.Thread(target=print, args=(f"printed by {name}",), name=name)
            thread.start()
            thread.join()
    assert capsys.readouterr().out == "data\nprinted by somebody else\n"
    assert [record.getMessage() for record in caplog.records] == ["printed by ray_listen_error_messages"]


def test_all_is_as_it_was_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_BACKEND_LOG_LEVEL", raising=False)
    before = state()
    with suppress(RuntimeError), quiet_ray():
        assert state() != before
        raise RuntimeError
    assert state() == before


def test_nothing_is_reported_to_rays_makers_unless_the_user_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    with quiet_ray():
        assert not usage_stats_enabled()
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    with quiet_ray():
        assert usage_stats_enabled()


def state() -> dict[str, object]:
    """The state that quiet_ray changes, and similar state that it must not change."""
    loggers = {name: logging.getLogger(name).level for name in ("ray", "ray.data", "ray.serve", "ray.tune")}
    return {"stdout": sys.stdout, "environment": dict(os.environ)} | vars(DataContext.get_current()) | loggers


def test_stderr_is_back_after_it_was_hushed(capfd: pytest.CaptureFixture[str]) -> None:
    with native_stderr_hushed():
        os.write(2, b"from C++\n")
    os.write(2, b"from anybody\n")
    assert capfd.readouterr().err == "from anybody\n"
