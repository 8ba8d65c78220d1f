"""Which faults are retried."""

import errno

import pytest
import stamina
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    ProfileNotFound,
    ReadTimeoutError,
)
from s3fs.errors import translate_boto_error

from pipeline.errors import OutputLocked, Reason
from pipeline.store.faults import TRIES, ShortBody, is_transient, reason_of, tried


def s3_fault(code: str, status: int) -> Exception:
    """The error that s3fs raises for S3's answer."""
    answer = {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return translate_boto_error(ClientError(answer, "GetObject"))


TRANSIENT = [
    s3_fault("SlowDown", 503),
    s3_fault("InternalError", 500),
    s3_fault("RequestTimeout", 400),
    s3_fault("ExpiredToken", 400),
    s3_fault("RequestTimeTooSkewed", 403),
    s3_fault("SomethingNew", 502),
    ConnectTimeoutError(endpoint_url="http://x"),
    EndpointConnectionError(endpoint_url="http://x"),
    ReadTimeoutError(endpoint_url="http://x"),
    CredentialRetrievalError(provider="x", error_msg="the metadata server is busy"),
    ConnectionResetError(errno.ECONNRESET, "reset"),
    TimeoutError(),
    ShortBody("3 of 9 bytes came"),
    OSError(errno.EIO, "input/output error"),
]
PERMANENT = [
    (s3_fault("NoSuchKey", 404), Reason.SOURCE_MISSING),
    (s3_fault("NoSuchBucket", 404), Reason.SOURCE_MISSING),
    (s3_fault("AccessDenied", 403), Reason.FORBIDDEN),
    (s3_fault("SignatureDoesNotMatch", 403), Reason.FORBIDDEN),
    (s3_fault("AuthorizationHeaderMalformed", 400), Reason.FORBIDDEN),
    (s3_fault("InvalidToken", 400), Reason.FORBIDDEN),
    (s3_fault("InvalidBucketName", 400), Reason.SOURCE_MISSING),
    (s3_fault("InvalidRange", 416), Reason.SOURCE_CHANGED),
    (NoCredentialsError(), Reason.FORBIDDEN),
    (ProfileNotFound(profile="nope"), Reason.FORBIDDEN),
    (NoRegionError(), Reason.FORBIDDEN),
    (ParamValidationError(report="Invalid bucket name"), Reason.FORBIDDEN),
    (FileNotFoundError(errno.ENOENT, "none"), Reason.SOURCE_MISSING),
    (IsADirectoryError(errno.EISDIR, "folder"), Reason.SOURCE_MISSING),
    (PermissionError(errno.EACCES, "no"), Reason.FORBIDDEN),
    (OSError(errno.EROFS, "read-only"), Reason.FORBIDDEN),
    (OSError(errno.ENOSPC, "full"), Reason.SOURCE_UNAVAILABLE),
]


@pytest.mark.parametrize("fault", TRANSIENT, ids=repr)
def test_faults_that_pass_are_tried_again(fault: Exception) -> None:
    assert is_transient(fault)
    assert reason_of(fault) is Reason.SOURCE_UNAVAILABLE


@pytest.mark.parametrize(("fault", "reason"), PERMANENT, ids=repr)
def test_faults_that_stay_are_not(fault: Exception, reason: Reason) -> None:
    assert not is_transient(fault)
    assert reason_of(fault) is reason


@pytest.mark.parametrize(
    "fault", [ValueError("bug"), KeyError("bug"), OutputLocked("held"), FileExistsError()]
)
def test_what_is_no_fault_of_input_and_output_passes_through(fault: Exception) -> None:
    assert not is_transient(fault)


def test_a_call_is_tried_until_it_succeeds_and_no_more_than_so_often(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[int] = []

    def third_time_lucky() -> str:
        calls.append(1)
        if len(calls) < 3:
            raise TimeoutError
        return "done"

    def never() -> None:
        calls.append(1)
        raise TimeoutError

    with stamina.set_testing(True, attempts=TRIES):
        assert tried(third_time_lucky, "read x") == "done"
        assert len(calls) == 3
        with pytest.raises(TimeoutError):
            tried(never, "read x")
        assert len(calls) == 3 + TRIES
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert warning.getMessage().startswith("cannot read x (try 5 of 8)"), "one, and not of a short hiccup"
