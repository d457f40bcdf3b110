"""What is in an object: documents, and whose they are."""

import json
from collections.abc import Iterator
from typing import Final, cast

import msgspec
from isal import isal_zlib

PARQUET: Final = "parquet"
NDJSON: Final = "ndjson.gz"
_CHUNK: Final = 1024**2
_GZIP_WINDOW: Final = 31
_NOT_GZIP = cast(type[Exception], isal_zlib.error)  # its stub calls the class an instance


class Unreadable(Exception):
    """An object is not what its name says."""


class _Model(msgspec.Struct):
    name: str | None = None
    version: str | None = None


class _Ml(msgspec.Struct):
    model: _Model = msgspec.field(default_factory=_Model)


class _Event(msgspec.Struct):
    id: str | None = None


class _Log(msgspec.Struct):
    level: str | None = None


class _DataStream(msgspec.Struct):
    dataset: str | None = None
    namespace: str | None = None


class Known(msgspec.Struct):
    """What we ask a document for; None where it does not say."""

    timestamp: str | None = msgspec.field(name="@timestamp", default=None)
    message: str | None = None
    log: _Log = msgspec.field(default_factory=_Log)
    ml: _Ml = msgspec.field(default_factory=_Ml)
    event: _Event = msgspec.field(default_factory=_Event)
    data_stream: _DataStream = msgspec.field(default_factory=_DataStream)


_decode = msgspec.json.Decoder(Known).decode


def known(document: bytes) -> Known:
    """What a document says. Nothing, when it cannot be read even by the tolerant decoder (surrogates without their
    other half are read by that one only)."""
    try:
        return _decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return msgspec.convert(json.loads(document), Known)
    except (ValueError, RecursionError):  # msgspec's ValidationError among them
        return Known()


def documents_in(key: str, body: bytes) -> Iterator[bytes]:
    """The documents of an object, in its order. Raises ``Unreadable``."""
    if key.endswith(PARQUET):
        from agent.outputs.s3.parquet import read

        yield from read(body)
    else:
        yield from _lines(body)


def ids_in(key: str, body: bytes, wanted: set[str]) -> set[str]:
    """Which of these records are in an object. Raises ``Unreadable``."""
    found = (known(document).event.id for document in documents_in(key, body))
    return {record for record in found if record in wanted}


def _lines(body: bytes) -> Iterator[bytes]:
    decompressor = isal_zlib.decompressobj(_GZIP_WINDOW)
    rest, left = b"", body
    try:
        while not decompressor.eof:
            piece: bytes = decompressor.decompress(left, _CHUNK)
            if not piece and not decompressor.eof:
                raise Unreadable("it ends in the middle")
            left = decompressor.unconsumed_tail
            *lines, rest = (rest + piece).split(b"\n")
            yield from lines
    except _NOT_GZIP as error:
        raise Unreadable("it is not gzip") from error
    if rest:
        yield rest
