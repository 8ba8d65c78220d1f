"""Sends one POST at the end of a run. If that fails, the run only logs a warning.

The path of such a URL is often a secret, so messages and records name only the host.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import HTTPRedirectHandler, Request, build_opener

from pipeline.errors import SamLabelError
from pipeline.metrics.report import Ending, RunReport
from pipeline.shutdown import answer, in_the_time_left
from pipeline.store.hosts import site_of

ANSWER_S = 10.0
TRIES = 2
# For the only try of an interrupted run, which has 30 s in all (pipeline/shutdown.py).
INTERRUPTED_S = 2.0

_log = logging.getLogger("sam_label.webhook")


@contextmanager
def announced(url: str | None, report: RunReport) -> Iterator[None]:
    """Posts to the URL, if there is one, how the block ended, whatever it raised."""
    fault: BaseException | None = None
    try:
        yield
    except BaseException as raised:
        fault = raised
        raise
    finally:
        if url is not None:
            _tell(url, report, Ending.of(fault))


def _tell(url: str, report: RunReport, ending: Ending) -> None:
    body = json.dumps(
        {
            "run": report.run or None,
            "output": report.output,
            "outcome": ending.outcome,
            "exit_code": ending.exit_code,
            "sentence": ending.sentence,
            "counts": report.counts(),
            "elapsed_s": report.elapsed_s,
        }
    ).encode()
    if ending.outcome == "interrupted":
        if in_the_time_left(lambda: _post(url, body), INTERRUPTED_S) is None:
            _log.warning("the webhook at %s was not called, because no time was left", site_of(url))
        return
    why = ""
    for _ in range(TRIES):
        try:
            answer(lambda: _post(url, body), ANSWER_S, "it")
            return
        except (SamLabelError, TimeoutError):
            why = f"no answer within {ANSWER_S:g} s"
        except OSError as refused:
            why = str(refused)
        except (Exception, KeyboardInterrupt) as fault:  # noqa: BLE001  # nothing changes how the run ended
            why = type(fault).__name__
            break
    _log.warning("sending the run's result to the webhook at %s failed: %s", site_of(url), why)


def _post(url: str, body: bytes) -> bool:
    """Posts the body and returns True. Raises: OSError, or another error that the server's answer causes."""
    headers = {"Content-Type": "application/json", "User-Agent": "sam-label"}
    request = Request(url, body, headers, method="POST")  # noqa: S310  # its scheme is checked (config.py)
    with build_opener(_NoRedirects).open(request, timeout=ANSWER_S):
        return True


class _NoRedirects(HTTPRedirectHandler):
    """Follows no redirect, since a redirected POST becomes a GET without its body: a redirect is an error."""

    def redirect_request(self, *_: object) -> None:
        return None
