"""Standard output carries data: Ray's thread does not print there, everybody else does."""

import logging
import os
import threading

import pytest

from pipeline.cluster.quiet import native_stderr_hushed, quiet_ray


def test_rays_notices_are_logged_and_not_printed(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sam_label.ray")
    with quiet_ray():
        print("data")
        for name in ("ray_listen_error_messages", "somebody else"):
            thread = threading.Thread(target=print, args=(f"said by {name}",), name=name)
            thread.start()
            thread.join()
    assert capsys.readouterr().out == "data\nsaid by somebody else\n"
    assert [record.getMessage() for record in caplog.records] == ["said by ray_listen_error_messages"]


def test_stderr_is_back_after_it_was_hushed(capfd: pytest.CaptureFixture[str]) -> None:

    with native_stderr_hushed():
        os.write(2, b"from C++\n")
    os.write(2, b"from anybody\n")
    assert capfd.readouterr().err == "from anybody\n"
