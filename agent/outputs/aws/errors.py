"""What an error of botocore means for a whole request, as an error of ``agent.errors``.

the service answered                      the request
a code of throttling, 429                 was too much just now
a code of credentials, access, the clock  is not allowed until a person acts: pause
a code of a missing stream or bucket      goes nowhere until a person acts: pause
a code of what is in it                   is refused for what is in it
a code of a request larger than allowed   is too large: split
a timeout, a failure inside, 408, 5xx     may have been taken; it is sent again
any other                                 is not understood there: pause

there was no answer                       the request
no connection                             has not arrived
the connection broke, or time ran out     may have been taken
no credentials, no trusted certificate    was not sent: pause

The codes are those of the common errors and of the operations we call, in botocore's service models and AWS's
references; S3's lack the ``Exception`` at the end that the JSON services have.
"""

from typing import TYPE_CHECKING, Final

from agent.errors import NoAnswer, Paused, Refused, Retryable, SendError, Throttled, TooLarge
from agent.outputs.http_client.refusal import retry_after_secs

if TYPE_CHECKING:
    from botocore.exceptions import ClientError, EndpointConnectionError

_THROTTLED: Final = frozenset(
    {
        "BandwidthLimitExceeded", "EC2ThrottledException", "KMSThrottlingException", "LimitExceededException",
        "PriorRequestNotComplete", "ProvisionedThroughputExceededException", "RequestLimitExceeded",
        "RequestThrottled", "RequestThrottledException", "SlowDown", "ThrottledException", "Throttling",
        "ThrottlingException", "TooManyRequestsException",
    }
)  # fmt: skip
_EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
_UNKNOWN_CREDENTIALS: Final = frozenset(
    {
        "AuthFailure", "IncompleteSignature", "IncompleteSignatureException", "InvalidAccessKeyId",
        "InvalidClientTokenId", "InvalidSignatureException", "InvalidToken", "MissingAuthenticationToken",
        "MissingAuthenticationTokenException", "SignatureDoesNotMatch", "UnrecognizedClientException",
        "XAdminUserNotFound",
    }
)  # fmt: skip
_CLOCK: Final = frozenset({"RequestInTheFuture", "RequestTimeTooSkewed"})
_CLOCK_WORDS: Final = ("Signature expired", "Signature not yet current")
"""How the JSON services say the same, under the code of a wrong signature."""
_DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException"})
_NOT_ALLOWED: Final = frozenset(
    {
        "AccountProblem", "AllAccessDisabled", "InvalidKMSResourceException",
        "KMSAccessDeniedException", "KMSDisabledException", "KMSInvalidStateException", "KMSNotFoundException",
        "KMSOptInRequired", "NotAuthorized", "OptInRequired", "UnauthorizedOperation",
    }
)  # fmt: skip
_MISSING: Final = frozenset({"NoSuchBucket", "ResourceNotFoundException"})
_WRONG_REGION: Final = frozenset(
    {"AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect", "TemporaryRedirect"}
)
_REFUSED: Final = frozenset(
    {"InvalidArgumentException", "SerializationException", "ValidationError", "ValidationException"}
)
_TOO_LARGE: Final = frozenset({"EntityTooLarge", "RequestEntityTooLargeException", "RequestTooLarge"})
_PERHAPS_TAKEN: Final = frozenset(
    {
        "InternalError", "InternalFailure", "InternalFailureException", "InternalServerError", "RequestTimeout",
        "RequestTimeoutException", "ServiceUnavailable", "ServiceUnavailableException",
    }
)  # fmt: skip
_DAMAGED: Final = frozenset({"BadDigest", "IncompleteBody", "InvalidDigest", "XAmzContentSHA256Mismatch"})
"""What arrived is not what was sent, and was not taken."""

_SAID_LIMIT: Final = 500
_ECHO_BEGINS: Final = "The Canonical String"
"""From here on the answer to a wrong signature repeats the request's headers, a session token among them."""


class Denied(Paused):
    """These credentials may not do this, whatever it is asked for."""


def trouble(error: Exception) -> SendError:
    """The error that this exception of a client's call stands for; a ``SendError`` stays as it is.

    Nothing of the request was taken, except where it is ``NoAnswer``.
    """
    if isinstance(error, SendError):
        return error
    from botocore import exceptions as boto

    match error:
        case boto.ClientError():
            return _refusal(error)
        case boto.NoCredentialsError() | boto.PartialCredentialsError() | boto.NoAuthTokenError():
            return Paused(
                f"no AWS credentials: {_line(str(error))}; give `access_key_id` and `secret_access_key`, a `profile`, "
                "or this machine, container or service account a role"
            )
        case (
            boto.CredentialRetrievalError()
            | boto.MetadataRetrievalError()
            | boto.SSOError()
            | boto.TokenRetrievalError()
            | boto.RefreshWithMFAUnsupportedError()
        ):
            return Paused(f"AWS credentials cannot be had: {_line(str(error))}")
        case boto.SSLError():
            return Paused(f"the server's certificate is not accepted: {_line(str(error))}")
        case boto.ConnectTimeoutError() | boto.ProxyConnectionError():
            return Retryable(f"no connection: {_line(str(error))}")
        case boto.EndpointConnectionError():
            return _unconnected(error)
        case boto.ReadTimeoutError() | TimeoutError():
            return NoAnswer("no answer in time")
        case boto.HTTPClientError() | boto.IncompleteReadError() | boto.ResponseStreamingError():
            return NoAnswer(f"the connection broke: {_line(str(error))}")
        case boto.BotoCoreError():
            return Paused(f"AWS cannot be used: {_line(str(error))}")
        case _:  # a parser's error over an answer that is not AWS's, a socket's of an old library
            return NoAnswer(f"{type(error).__name__}: {_line(str(error))}")


def _unconnected(error: "EndpointConnectionError") -> SendError:
    """aiobotocore says "could not connect" of a connection too that broke while it was used."""
    from socket import gaierror

    from aiohttp import ClientConnectorError

    from agent.outputs.http_client.connection import unconnected

    cause = error.kwargs.get("error")
    if isinstance(cause, ClientConnectorError):
        return Retryable(f"no connection to {_line(unconnected(cause))}; are `region` and `endpoint` right?")
    if isinstance(cause, gaierror):
        return Retryable(f"no connection: {_line(str(cause))}; are `region` and `endpoint` right?")
    return NoAnswer(f"the connection broke: {_line(str(cause or error))}")


def _refusal(error: "ClientError") -> SendError:
    said = error.response.get("Error", {})
    metadata = error.response.get("ResponseMetadata", {})
    return refusal(
        str(said.get("Code", "")),
        str(said.get("Message", "")),
        int(metadata.get("HTTPStatusCode", 0)),
        retry_after_secs(metadata.get("HTTPHeaders", {})),
    )


def refusal(code: str, message: str, status: int = 400, retry_after: float | None = None) -> SendError:
    """What an error code means: of a whole request, or of one record in the answer to many."""
    message = message.partition(_ECHO_BEGINS)[0]
    said = _line(f"{code}: {message}" if message else code or f"status {status}")
    if code in _THROTTLED or status == 429:
        return Throttled(f"overloaded: {said}", retry_after)
    if code in _CLOCK or message.startswith(_CLOCK_WORDS):
        return Paused(f"this machine's clock is wrong, or the request was long on its way: {said}; set the clock")
    if code in _EXPIRED:
        return Paused(f"the AWS credentials have expired: {said}; renew them")
    if code in _UNKNOWN_CREDENTIALS:
        return Paused(f"wrong AWS credentials: {said}")
    if code in _DENIED:
        return Denied(f"not allowed by AWS: {said}")
    if code in _NOT_ALLOWED or (status in (401, 403) and code not in _DAMAGED):
        return Paused(f"not allowed by AWS: {said}")
    if code in _MISSING or status == 404:
        return Paused(f"it is not there: {said}; is its name right, and `region`?")
    if code in _WRONG_REGION or status in (301, 307):
        return Paused(f"it is in another region: {said}; set `region`")
    if code in _TOO_LARGE or status == 413:
        return TooLarge(f"the request is larger than AWS takes: {said}")
    if code in _PERHAPS_TAKEN or status in (408, 425) or status >= 500:
        return NoAnswer(said, retry_after)
    if code in _DAMAGED:
        return Retryable(f"it did not arrive whole: {said}", retry_after)
    if code in _REFUSED:
        return Refused(said)
    return Paused(f"AWS does not take this: {said}")


def _line(text: str) -> str:
    """One bounded line."""
    line = " ".join(text.split())
    return line if len(line) <= _SAID_LIMIT else f"{line[:_SAID_LIMIT]}…"
