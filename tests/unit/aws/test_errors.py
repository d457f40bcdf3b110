"""What AWS's errors mean to the delivery loop, as a table."""

import socket
from typing import Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from multidict import CIMultiDict

from agent.errors import NoAnswer, Paused, Refused, Retryable, SendError, Throttled, TooLarge
from agent.outputs.aws.errors import Denied, trouble


def answered(status: int, code: str, message: str = "because", **headers: str) -> boto.ClientError:
    """What a client raises over an answer that is an error."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return boto.ClientError(
        {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": CIMultiDict(named)},
        },
        "PutRecords",
    )


def unconnected(cause: Exception) -> boto.EndpointConnectionError:
    """What a client raises where aiohttp raised this."""
    return boto.EndpointConnectionError(endpoint_url="http://127.0.0.1:1", error=cause)


KEY = ConnectionKey("127.0.0.1", 1, False, True, None, None, None)


@pytest.mark.parametrize(
    ("status", "code", "kind", "said"),
    [
        (400, "ProvisionedThroughputExceededException", Throttled, "overloaded"),
        (400, "ThrottlingException", Throttled, "overloaded"),
        (400, "LimitExceededException", Throttled, "overloaded"),
        (400, "KMSThrottlingException", Throttled, "overloaded"),
        (503, "SlowDown", Throttled, "overloaded"),
        (429, "429", Throttled, "overloaded"),
        (400, "ExpiredTokenException", Paused, "renew them"),
        (400, "ExpiredToken", Paused, "renew them"),
        (403, "RequestExpired", Paused, "renew them"),
        (400, "UnrecognizedClientException", Paused, "wrong AWS credentials"),
        (403, "InvalidAccessKeyId", Paused, "wrong AWS credentials"),
        (403, "SignatureDoesNotMatch", Paused, "wrong AWS credentials"),
        (404, "XAdminUserNotFound", Paused, "wrong AWS credentials"),
        (403, "RequestTimeTooSkewed", Paused, "set the clock"),
        (400, "AccessDeniedException", Denied, "not allowed"),
        (403, "AccessDenied", Denied, "not allowed"),
        (403, "403", Paused, "not allowed"),
        (400, "KMSDisabledException", Paused, "not allowed"),
        (400, "ResourceNotFoundException", Paused, "is its name right"),
        (404, "NoSuchBucket", Paused, "is its name right"),
        (404, "404", Paused, "is its name right"),
        (301, "PermanentRedirect", Paused, "set `region`"),
        (400, "AuthorizationHeaderMalformed", Paused, "set `region`"),
        (400, "ValidationException", Refused, "ValidationException: because"),
        (400, "InvalidArgumentException", Refused, "because"),
        (413, "413", TooLarge, "larger than AWS takes"),
        (400, "EntityTooLarge", TooLarge, "larger than AWS takes"),
        (500, "InternalFailure", NoAnswer, "because"),
        (500, "500", NoAnswer, "because"),
        (503, "ServiceUnavailableException", NoAnswer, "because"),
        (400, "RequestTimeout", NoAnswer, "because"),
        (502, "502", NoAnswer, "because"),
        (400, "BadDigest", Retryable, "not arrive whole"),
        (400, "SomethingNewException", Paused, "AWS does not take this"),
        (400, "400", Paused, "AWS does not take this"),
    ],
)
def test_answer_that_is_an_error_says_what_becomes_of_the_request(
    status: int, code: str, kind: type[SendError], said: str
) -> None:
    """By its code first, and by its status where the code says nothing."""
    error = trouble(answered(status, code))
    assert type(error) is kind
    assert said in str(error)
    assert getattr(error, "overloaded", False) is (said == "overloaded")


@pytest.mark.parametrize(
    "message",
    [
        "Signature expired: 20261122T100000Z is now earlier than 20261123T095500Z (20261123T100000Z - 5 min.)",
        "Signature not yet current: 20261123T110000Z is still later than 20261123T100500Z",
    ],
)
def test_wrong_clock_is_told_from_wrong_credentials(message: str) -> None:
    """Both come under the code of a wrong signature; only the words differ."""
    error = trouble(answered(400, "InvalidSignatureException", message))
    assert type(error) is Paused
    assert "clock" in str(error)


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (boto.NoCredentialsError(), Paused, "no AWS credentials"),
        (boto.PartialCredentialsError(provider="env", cred_var="secret"), Paused, "no AWS credentials"),
        (boto.CredentialRetrievalError(provider="sso", error_msg="expired"), Paused, "cannot be had"),
        (boto.UnauthorizedSSOTokenError(), Paused, "cannot be had"),
        (boto.SSLError(endpoint_url="https://x", error="self-signed"), Paused, "certificate"),
        (boto.ParamValidationError(report="Records: too long"), Paused, "too long"),
        (boto.ConnectTimeoutError(endpoint_url="https://x"), Retryable, "no connection"),
        (boto.ProxyConnectionError(proxy_url="http://proxy"), Retryable, "no connection"),
        (unconnected(aiohttp.ClientConnectorError(KEY, OSError(111, "refused"))), Retryable, "refused"),
        (unconnected(socket.gaierror(-2, "Name or service not known")), Retryable, "`region`"),
        (unconnected(aiohttp.ClientOSError(104, "Connection reset by peer")), NoAnswer, "reset"),
        (boto.ConnectionClosedError(endpoint_url="https://x"), NoAnswer, "broke"),
        (boto.ReadTimeoutError(endpoint_url="https://x"), NoAnswer, "no answer in time"),
        (TimeoutError(), NoAnswer, "no answer in time"),
        (boto.HTTPClientError(error="odd"), NoAnswer, "broke"),
        (ResponseParserError("<html>"), NoAnswer, "<html>"),
    ],
)
def test_missing_answer_says_whether_the_request_may_have_arrived(
    error: Exception, kind: type[SendError], said: str
) -> None:
    """aiobotocore gives a broken connection the name of a refused one: only what caused it tells them apart."""
    found = trouble(error)
    assert type(found) is kind
    assert said in str(found)


def test_wish_for_a_pause_is_passed_on() -> None:
    """``Retry-After`` where there is one."""
    error = trouble(answered(503, "SlowDown", Retry_After="7"))
    assert isinstance(error, Retryable)
    assert error.retry_after_secs == 7


def test_reason_is_one_bounded_line() -> None:
    """An answer can be a page long."""
    said = str(trouble(answered(400, "ValidationException", "a\nb " * 10_000)))
    assert "\n" not in said
    assert len(said) < 1000


def test_session_token_that_an_answer_repeats_is_not_said() -> None:
    """The JSON services put the headers of a request into their answer to a wrong signature."""
    message = (
        "The request signature we calculated does not match the signature you provided.\n\nThe Canonical String for "
        "this request should have been\n'POST\n/\n\nhost:x\nx-amz-security-token:FwoGZXIvYXdzEB"
    )
    said = str(trouble(answered(400, "InvalidSignatureException", message)))
    assert "does not match" in said
    assert "FwoGZXIvYXdzEB" not in said


def test_error_of_ours_stays_as_it_is() -> None:
    """It was understood nearer to its cause."""
    error: Any = Paused("no region")
    assert trouble(error) is error
