"""A client of one AWS service, with its own retries taken out, and what its errors mean to us.

The extra ``aws`` brings aiobotocore; it is imported here and nowhere else in the agent.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from io import BytesIO
from typing import Any, Final, TypeVar

from agent.errors import Paused
from agent.outputs.aws.errors import trouble
from agent.outputs.aws.options import AwsOptions

T = TypeVar("T")

_WRITE_BYTES: Final = 64 * 1024


def open_client(service: str, options: AwsOptions, **settings: Any) -> AbstractAsyncContextManager[Any]:
    """The client of a service (``kinesis``, ``firehose``, ``s3``), to be entered once and kept. ``settings`` go into
    its ``AioConfig``.

    Raises ``Paused`` when the region is missing, the profile is unknown or the extra is not installed.
    """
    try:
        from aiobotocore.config import AioConfig
        from aiobotocore.session import AioSession
        from botocore.exceptions import BotoCoreError
    except ImportError as error:
        raise Paused("outputs to AWS need the extra `aws`: pip install 'modeltail[aws]'") from error
    config = AioConfig(
        retries={"total_max_attempts": 1},
        connect_timeout=float(options.connect_timeout),
        read_timeout=float(options.request_timeout),
        max_pool_connections=options.delivery.max_concurrency + 1,
        **settings,
    )
    try:
        session = AioSession(profile=options.profile)
        session.register("before-send", _in_pieces)
        client: AbstractAsyncContextManager[Any] = session.create_client(
            service,
            region_name=options.region,
            endpoint_url=options.endpoint,
            aws_access_key_id=options.access_key_id,
            aws_secret_access_key=options.secret_access_key,
            aws_session_token=options.session_token,
            config=config,
        )
        return client
    except BotoCoreError as error:
        raise Paused(f"AWS cannot be used: {error}") from error


def _in_pieces(request: Any, **_: Any) -> None:
    """Have a large body written a little at a time: in one go it would hold up everything else, and a server that
    refuses it before its end would not be heard."""
    if isinstance(request.body, bytes | bytearray) and len(request.body) > _WRITE_BYTES:
        from aiohttp import BytesIOPayload

        request.body = BytesIOPayload(BytesIO(request.body))


class KeptClient:
    """The client of one service for one output, opened when first needed; ``settings`` as for ``open_client``. Nothing
    but ``SendError`` leaves ``ask``.

    A client knows the credentials it found when it was opened. So after an answer that a person must act on, the next
    request is made by a new one; the old one is closed when the last of its requests is through.
    """

    def __init__(self, service: str, options: AwsOptions, **settings: Any) -> None:
        self._service = service
        self._options = options
        self._settings = settings
        self._opened: _Opened | None = None
        self._opening = asyncio.Lock()

    async def ask(self, call: Callable[[Any], Awaitable[T]]) -> T:
        """What the client's method answers that ``call`` calls. Raises what ``trouble`` says."""
        async with self._opening:
            if self._opened is None:
                self._opened = await _open(open_client(self._service, self._options, **self._settings))
            opened = self._opened
            opened.users += 1
        try:
            # A server that does not read what is sent to it would keep the library waiting for ever.
            async with asyncio.timeout(self._options.connect_timeout + self._options.request_timeout):
                return await call(opened.client)
        except Exception as error:
            # All that the library raises: over an error page that is neither JSON nor UTF-8 it may be anything.
            failure = trouble(error)
            if isinstance(failure, Paused) and self._opened is opened:
                self._opened = None
            if failure is error:
                raise
            raise failure from error
        finally:
            opened.users -= 1
            if not opened.users and self._opened is not opened:
                await opened.stack.aclose()

    async def close(self) -> None:
        """Close it. No request is on its way any more."""
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.stack.aclose()


class _Opened:
    """A client with the stack that closes it, and how many requests use it."""

    def __init__(self, client: Any, stack: AsyncExitStack) -> None:
        self.client = client
        self.stack = stack
        self.users = 0


async def _open(opening: AbstractAsyncContextManager[Any]) -> _Opened:
    async with AsyncExitStack() as stack:
        try:
            client = await stack.enter_async_context(opening)
        except Exception as error:
            raise trouble(error) from error
        return _Opened(client, stack.pop_all())
