"""The bucket: what we ask of S3, and what its errors mean for us.

A put is refused when the name is taken (``If-None-Match: *``); S3 sees to that also when two of them arrive at once,
and lists what is there at once. Every body carries its CRC-32, so that one that was damaged on its way is not taken.
"""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from typing import Any, Final, Protocol, Self

from isal import isal_zlib

from agent.errors import Paused, Refused, Retryable
from agent.outputs.aws.client import open_client
from agent.outputs.aws.errors import trouble
from agent.outputs.s3.config import S3Config

_MAX_PARTS: Final = 10_000


class Denied(Paused):
    """These keys may not do this, whatever it is asked for."""


class Objects(Protocol):
    """What an output needs of a bucket. Trouble is a ``SendError``, ``Denied`` where something is not allowed."""

    async def put_new(self, key: str, body: bytes) -> bool:
        """Make the object, unless there is one of this name: then False."""
        ...

    def names(self, prefix: str) -> AsyncIterator[str]:
        """The names that begin so, in order."""
        ...

    async def folders(self, prefix: str) -> list[str]:
        """What follows a prefix up to the next slash, that included, as whole names."""
        ...

    async def get(self, key: str) -> bytes | None:
        """What is in an object; None when there is none."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...


class Bucket:
    """One real bucket. The client is made when first needed."""

    def __init__(self, config: S3Config) -> None:
        self._config = config
        self._life = AsyncExitStack()
        self._connecting = asyncio.Lock()
        self._client: Any = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._life.aclose()

    async def put_new(self, key: str, body: bytes) -> bool:
        """One request, or for a large body several, of which only the last makes the object."""
        client = await self._connected()
        with _errors():
            try:
                if len(body) > self._config.part_bytes:
                    await self._put_in_parts(client, key, body)
                else:
                    await client.put_object(
                        Key=key,
                        Body=body,
                        IfNoneMatch="*",
                        ChecksumCRC32=_crc32(body),
                        **self._common(),
                        **self._kind(),
                    )
            except _client_error() as error:
                if _status(error) == 412:
                    return False
                if _status(error) == 409:
                    raise Retryable(f"the object is being written by somebody: {_code(error)}") from error
                raise
        return True

    async def names(self, prefix: str) -> AsyncIterator[str]:
        """A thousand names a request."""
        async for page in self._pages(prefix):
            for entry in page.get("Contents", ()):
                yield entry["Key"]

    async def folders(self, prefix: str) -> list[str]:
        """Asked of S3, which does not look at each name."""
        return [
            entry["Prefix"]
            async for page in self._pages(prefix, Delimiter="/")
            for entry in page.get("CommonPrefixes", ())
        ]

    async def get(self, key: str) -> bytes | None:
        """The whole of it."""
        client = await self._connected()
        with _errors():
            try:
                answer = await client.get_object(Key=key, **self._common())
                async with answer["Body"] as stream:
                    body: bytes = await stream.read()
            except _client_error() as error:
                if _code(error) == "NoSuchKey":
                    return None
                raise
        return body

    async def _pages(self, prefix: str, **how: str) -> AsyncIterator[dict[str, Any]]:
        client = await self._connected()
        more: dict[str, str] = {}
        while True:
            with _errors():
                page = await client.list_objects_v2(Prefix=prefix, **self._common(), **how, **more)
            yield page
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    async def _put_in_parts(self, client: Any, key: str, body: bytes) -> None:
        """Nothing is there before the last request is through. What cannot be aborted either is left to a lifecycle
        rule of the bucket."""
        size = max(self._config.part_bytes, -(-len(body) // _MAX_PARTS))
        common = self._common()
        begun = await client.create_multipart_upload(Key=key, ChecksumAlgorithm="CRC32", **common, **self._kind())
        upload = {"Key": key, "UploadId": begun["UploadId"], **common}
        parts = []
        try:
            for number, start in enumerate(range(0, len(body), size), start=1):
                part = body[start : start + size]
                checksum = _crc32(part)
                done = await client.upload_part(PartNumber=number, Body=part, ChecksumCRC32=checksum, **upload)
                parts.append({"PartNumber": number, "ETag": done["ETag"], "ChecksumCRC32": checksum})
            await client.complete_multipart_upload(MultipartUpload={"Parts": parts}, IfNoneMatch="*", **upload)
        except Exception:
            with suppress(Exception):  # what went wrong first is what counts
                await client.abort_multipart_upload(**upload)
            raise

    def _common(self) -> dict[str, str]:
        return {"Bucket": self._config.bucket}

    def _kind(self) -> dict[str, str]:
        """What an object is to be beside its content."""
        config = self._config
        wished = {
            "ServerSideEncryption": config.sse,
            "SSEKMSKeyId": config.kms_key_id,
            "StorageClass": config.storage_class,
        }
        return {name: value for name, value in wished.items() if value is not None}

    async def _connected(self) -> Any:
        async with self._connecting:
            if self._client is None:
                style = "path" if self._config.endpoint else "auto"
                client = open_client("s3", self._config, signature_version="s3v4", s3={"addressing_style": style})
                with _errors():
                    self._client = await self._life.enter_async_context(client)
            return self._client


@contextmanager
def _errors() -> Iterator[None]:
    """What went wrong, as a ``SendError``. No record is ever to blame: an object is refused for its name, its size or
    its sender."""
    from aiohttp import ClientError as HttpError
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError, HttpError, OSError) as error:  # time-outs are an OSError
        if isinstance(error, ClientError) and _code(error) == "AccessDenied":
            raise Denied(str(trouble(error))) from error
        found = trouble(error)
        if isinstance(found, Refused):
            found = Paused(str(found))
        raise found from error


def _client_error() -> Any:
    from botocore.exceptions import ClientError

    return ClientError


def _status(error: Any) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _crc32(body: bytes) -> str:
    return b64encode(isal_zlib.crc32(body).to_bytes(4, "big")).decode()
