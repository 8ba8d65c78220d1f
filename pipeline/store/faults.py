"""Decides which errors of a disk or a store are transient, and retries them; no other layer retries.

The permanent errors are a closed list. Every other I/O error counts as transient and is retried with growing,
jittered waits. The retries of botocore and s3fs are off (s3.py), since the tries of two layers multiply.
Other errors are bugs, and are raised at once.
"""

import errno
import logging
from collections.abc import Callable
from typing import TypeVar

import stamina
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
    NoCredentialsError,
)

from pipeline.errors import Reason, SamLabelError
from pipeline.shutdown import is_ending
from pipeline.store.uri import redacted

T = TypeVar("T")
IO_FAULTS = (OSError, BotoCoreError, ClientError)
TRIES = 8  # with the waits below about 45 s, longer than a store's usual fail-over
REPORTED_TRY = 5  # a warning, once an object: by now the error is no short one, and the rest may take minutes
WAIT_FIRST_S, WAIT_MOST_S = 0.2, 10.0
WAIT_TOTAL_S = 180.0  # enough for every try to end in a stall (15 s each, pipeline/store/s3.py)

# botocore's own errors are mistakes (a profile or a region that does not exist), except these.
_PASSING = (
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    CredentialRetrievalError,
    MetadataRetrievalError,
)
_MISSING = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_PASSING_CODES = {"ExpiredToken", "RequestTimeTooSkewed", "TokenRefreshRequired"}  # a new token cures them
_MISSING_CODES = {"NoSuchKey", "NoSuchBucket", "NoSuchVersion", "404", "InvalidBucketName", "KeyTooLongError"}
_FORBIDDEN_CODES = {
    "AccessDenied",
    "AllAccessDisabled",
    "AuthorizationHeaderMalformed",  # signed for another region
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "403",
}

# of google.auth and azure.core, which are extras
_NO_CREDENTIALS = {"DefaultCredentialsError", "ClientAuthenticationError"}

_log = logging.getLogger("sam_label.store")
# stamina's own hook would warn on the terminal, without the name of the object.
stamina.instrumentation.set_on_retry_hooks([])


class ShortBody(OSError):
    """A body that ended before the length that its own header announced."""


class PermanentFault(OSError):
    """An error that no retry can fix; `cause` is the reason for the image's row."""

    def __init__(self, cause: Reason, message: str) -> None:
        super().__init__(message)
        self.cause = cause


def fault_of_status(status: int, message: str) -> OSError:
    """The error for the status of an HTTP answer."""
    if status in (404, 410):
        return PermanentFault(Reason.SOURCE_MISSING, message)
    if status == 416:
        return PermanentFault(Reason.SOURCE_CHANGED, message)  # it is shorter than before
    if status in (408, 425, 429) or status >= 500:
        return OSError(message)
    return PermanentFault(Reason.FORBIDDEN, message)


def permanent_reason(fault: BaseException) -> Reason | None:
    """Why a retry cannot help, or None for a transient error."""
    if isinstance(fault, PermanentFault):
        return fault.cause
    if isinstance(fault, BotoCoreError) and not isinstance(fault, _PASSING):
        return Reason.FORBIDDEN
    code = response_code(fault)
    if code in _PASSING_CODES:
        return None
    if code in _MISSING_CODES:
        return Reason.SOURCE_MISSING
    if code in _FORBIDDEN_CODES:
        return Reason.FORBIDDEN
    if code == "InvalidRange":
        return Reason.SOURCE_CHANGED  # it is shorter than before
    number = getattr(fault, "errno", None)
    if isinstance(fault, FileNotFoundError | NotADirectoryError | IsADirectoryError) or number in _MISSING:
        return Reason.SOURCE_MISSING
    if isinstance(fault, PermissionError) or number in _FORBIDDEN:
        return Reason.FORBIDDEN
    if number in _FULL:
        return Reason.SOURCE_UNAVAILABLE
    return None


def reason_of(fault: BaseException) -> Reason:
    """The reason for an error that is left after every retry."""
    return permanent_reason(fault) or Reason.SOURCE_UNAVAILABLE


def lacks_credentials(fault: BaseException | None) -> bool:
    """Whether no credentials at all were found for an object store."""
    while fault is not None:
        if isinstance(fault, NoCredentialsError) or type(fault).__name__ in _NO_CREDENTIALS:
            return True
        fault = fault.__cause__
    return False


def is_transient(fault: Exception) -> bool:
    """Whether the same call may succeed a moment later."""
    if isinstance(fault, SamLabelError | FileExistsError):
        return False
    return isinstance(fault, IO_FAULTS) and permanent_reason(fault) is None


def response_code(fault: BaseException | None) -> str:
    """S3's error code behind a fault, "" if there is none."""
    while fault is not None:
        response = getattr(fault, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
        fault = fault.__cause__
    return ""


def tried(call: Callable[[], T], what: str) -> T:
    """The result of `call`. Retries it while its error is transient, then raises the last error.

    `what` reads like "read s3://bucket/key", for the log.
    """
    for attempt in stamina.retry_context(
        on=lambda fault: is_transient(fault) and not is_ending(),
        attempts=TRIES,
        timeout=WAIT_TOTAL_S,
        wait_initial=WAIT_FIRST_S,
        wait_max=WAIT_MOST_S,
    ):
        with attempt:
            try:
                return call()
            except IO_FAULTS as fault:
                if not is_transient(fault):
                    raise
                _log.log(
                    logging.WARNING if attempt.num == REPORTED_TRY else logging.INFO,
                    "cannot %s (try %d of %d): %s",
                    redacted(what),
                    attempt.num,
                    TRIES,
                    redacted(str(fault)),
                )
                raise
    raise AssertionError("stamina ends by returning or raising")
