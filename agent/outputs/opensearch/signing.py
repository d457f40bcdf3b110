"""Requests signed for AWS (Signature Version 4), and what AWS says against a signature.

The extra ``aws`` brings aiobotocore, whose session finds the credentials and renews them without blocking; botocore's
own signer makes the signature. Both are imported here and only when needed.
"""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

import msgspec

from agent.errors import Paused, Retryable
from agent.outputs.opensearch.config import AwsSigning

if TYPE_CHECKING:
    from aiobotocore.credentials import AioCredentials

    from agent.outputs.http_client.connection import Answer

_ADVICE: Final = {
    "signature expired": "the clock of this machine is behind: set it right",
    "signature not yet current": "the clock of this machine is ahead: set it right",
    "security token included in the request is expired": "the credentials have run out: renew them",
    "security token included in the request is invalid": "check the access key and the session token",
    "signature we calculated does not match": "check the secret access key",
    "credential should be scoped to": "check `aws.region` and `aws.service`",
    "is not authorized to perform": "let the policies of role and domain allow `es:ESHttp*`",
}
"""What AWS says, in lower case, and what to do about it."""


class _Denial(msgspec.Struct):
    message: str = ""
    Message: str = ""


class AwsSigner:
    """Signs the requests of one output. Credentials are looked for with the first request and renewed as they age."""

    def __init__(self, options: AwsSigning) -> None:
        self._options = options
        self._credentials: AioCredentials | None = None
        self._region = ""
        self._looking = asyncio.Lock()

    async def sign(self, method: str, url: str, body_sha256: str) -> Mapping[str, str]:
        """The headers to add. ``url`` is what is asked, quoted as on the wire.

        Raises ``Paused`` when there are no credentials, or they cannot be renewed, or the extra is not installed;
        ``Retryable`` when who gives them does not answer.
        """
        try:
            from botocore.auth import SigV4Auth
            from botocore.awsrequest import AWSRequest
            from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
        except ImportError as error:
            raise Paused("signing for AWS needs the extra `aws`: pip install 'modeltail[aws]'") from error
        try:
            credentials = await self._found()
            frozen = await credentials.get_frozen_credentials()
        except HTTPClientError as error:
            raise Retryable(f"AWS credentials cannot be had now: {error}") from error
        # Renewed and out of date all the same is a RuntimeError; a token's file or a program that is not there, or does
        # not say what it should, an OSError or ValueError.
        except (BotoCoreError, ClientError, RuntimeError, OSError, ValueError) as error:
            raise Paused(f"AWS credentials cannot be had: {error}") from error
        # AWS reads the query as names and values and quotes them anew; so does the signer when it is given them so.
        address, _, query = url.partition("?")
        request = AWSRequest(
            method,
            address,
            params=parse_qsl(query, keep_blank_values=True),
            headers={"x-amz-content-sha256": body_sha256},
        )
        SigV4Auth(frozen, self._options.service, self._region).add_auth(request)
        return dict(request.headers.items())

    async def _found(self) -> "AioCredentials":
        """The credentials, looked for once."""
        async with self._looking:
            if self._credentials is None:
                from aiobotocore.session import AioSession

                options = self._options
                session = AioSession(profile=options.profile)
                region = options.region or session.get_config_variable("region")
                if not region:
                    raise Paused("AWS needs a region: set `aws.region`")
                if options.access_key_id is not None:
                    session.set_credentials(options.access_key_id, options.secret_access_key, options.session_token)
                found = await session.get_credentials()
                if found is None:
                    raise Paused("no AWS credentials are found: set keys or `aws.profile`, or give the machine a role")
                self._region, self._credentials = region, found
            return self._credentials

    def look_at(self, answer: "Answer") -> None:
        """Raise ``Paused``, with what to do, if AWS refuses who asks. The credentials are looked for anew then: they
        may have been renewed where they come from."""
        said = _denial(answer)
        if said is not None:
            self._credentials = None
            raise Paused(said)


def _denial(answer: "Answer") -> str | None:
    """What AWS has against who asks, and what to do about it; None where the answer is not of that kind. It has a
    ``message``, where OpenSearch's own refusals have an ``error``."""
    if answer.status not in (400, 401, 403):
        return None
    try:
        said = msgspec.json.decode(answer.body, type=_Denial)
    except (ValueError, RecursionError):
        return None
    text = " ".join((said.message or said.Message).split())[:400]
    advice = next((advice for phrase, advice in _ADVICE.items() if phrase in text.lower()), None)
    return None if advice is None else f"AWS refuses the request: {text}: {advice}"
