"""The bucket: what we ask of S3, and what its errors mean for us.

A put is refused when the name is taken (``If-None-Match: *``); S3 sees to that also when two of them arrive at once,
and lists what is there at once. Every body carries its CRC-32, so that one that was damaged on its way is not taken.
"""

from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, Protocol, Self, TypeVar

from isal import isal_zlib

from agent.errors import NoAnswer, Paused, Refused, Retryable, SendError
from agent.outputs.aws.client import KeptClient
from agent.outputs.s3.config import S3Config

T = TypeVar("T")

_MAX_PARTS: Final = 10_000


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
        style = "path" if config.endpoint else "auto"
        self._client = KeptClient("s3", config, signature_version="s3v4", s3={"addressing_style": style})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._client.close()

    async def put_new(self, key: str, body: bytes) -> bool:
        """One request, or for a large body several, of which only the last makes the object."""
        if len(body) > self._config.part_bytes:
            return await self._put_in_parts(key, body)
        put = {"Key": key, "Body": body, "ChecksumCRC32": _crc32(body), **self._common(), **self._kind()}
        return await self._ask(lambda client: _made(client.put_object(IfNoneMatch="*", **put)))

    async def names(self, prefix: str) -> AsyncIterator[str]:
        """A thousand names a request."""
        async for page in self._pages(prefix):
            for entry in page.get("Contents", ()):
                yield _given(entry, "Key")

    async def folders(self, prefix: str) -> list[str]:
        """Asked of S3, which does not look at each name."""
        return [
            _given(entry, "Prefix")
            async for page in self._pages(prefix, Delimiter="/")
            for entry in page.get("CommonPrefixes", ())
        ]

    async def get(self, key: str) -> bytes | None:
        """The whole of it."""
        return await self._ask(lambda client: _content(client.get_object(Key=key, **self._common())))

    async def _pages(self, prefix: str, **how: str) -> AsyncIterator[dict[str, Any]]:
        wish = {"Prefix": prefix, **self._common(), **how}
        while True:
            page = await self._ask(lambda client: client.list_objects_v2(**wish))
            yield page
            if not page.get("IsTruncated"):
                return
            wish["ContinuationToken"] = _given(page, "NextContinuationToken")

    async def _put_in_parts(self, key: str, body: bytes) -> bool:
        """Nothing is there before the last request is through. What cannot be aborted either is left to a lifecycle
        rule of the bucket."""
        upload = {"Key": key, **self._common()}
        begun = await self._ask(
            lambda client: client.create_multipart_upload(ChecksumAlgorithm="CRC32", **upload, **self._kind())
        )
        upload["UploadId"] = _given(begun, "UploadId")
        made = False
        try:
            made = await self._upload(upload, body)
        except SendError:
            await self._abort(upload)
            raise
        if not made:
            await self._abort(upload)
        return made

    async def _upload(self, upload: dict[str, str], body: bytes) -> bool:
        size = max(self._config.part_bytes, -(-len(body) // _MAX_PARTS))
        starts = range(0, len(body), size)
        parts = [await self._put_part(upload, n, body[start : start + size]) for n, start in enumerate(starts, start=1)]
        complete = {"MultipartUpload": {"Parts": parts}, **upload}
        return await self._ask(lambda client: _made(client.complete_multipart_upload(IfNoneMatch="*", **complete)))

    async def _put_part(self, upload: dict[str, str], number: int, part: bytes) -> dict[str, Any]:
        named = {"PartNumber": number, "ChecksumCRC32": _crc32(part)}
        done = await self._ask(lambda client: client.upload_part(Body=part, **named, **upload))
        return {"ETag": _given(done, "ETag"), **named}

    async def _abort(self, upload: dict[str, str]) -> None:
        with suppress(SendError):  # what went wrong first is what counts
            await self._ask(lambda client: client.abort_multipart_upload(**upload))

    async def _ask(self, call: Callable[[Any], Awaitable[T]]) -> T:
        """No record is ever to blame: an object is refused for its name, its size or its sender."""
        try:
            return await self._client.ask(call)
        except Refused as refused:
            raise Paused(str(refused)) from refused

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


async def _made(request: Awaitable[dict[str, Any]]) -> bool:
    """Whether the request made an object; False when there is one of that name."""
    from botocore.exceptions import ClientError

    try:
        answer = await request
    except ClientError as error:
        if _status(error) == 412:
            return False
        if _status(error) == 409:
            raise Retryable(f"the object is being written by somebody: {_code(error)}") from error
        raise
    _given(answer, "ETag")
    return True


async def _content(request: Awaitable[dict[str, Any]]) -> bytes | None:
    """The body of an object; None when there is none."""
    from botocore.exceptions import ClientError

    try:
        answer = await request
    except ClientError as error:
        if _code(error) == "NoSuchKey":
            return None
        raise
    async with answer["Body"] as stream:
        body: bytes = await stream.read()
    return body


def _given(answer: dict[str, Any], name: str) -> str:
    """What such an answer of S3 always says. Raises ``NoAnswer`` when it does not: it is somebody else's."""
    if not answer.get(name):
        raise NoAnswer(f"the answer has no {name}: is `endpoint` right?")
    return str(answer[name])


def _status(error: Any) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _crc32(body: bytes) -> str:
    return b64encode(isal_zlib.crc32(body).to_bytes(4, "big")).decode()
