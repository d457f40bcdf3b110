"""What the store looks up records by, taken out of a rendered document.

The document itself is kept as the text it is; this reads the few places an index needs and skips the rest unlooked
at, so that it costs less than a microsecond and no oddity elsewhere in the document can get in its way.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from agent.query.surrogates import mend

LEVELS: Final = ("debug", "info", "warning", "error", "critical")
"""In rising order. Bit i of a block's ``levels`` says that a record of level i is in it; the bit behind them, one of
another or no level.
"""

OTHER_LEVEL: Final = 1 << len(LEVELS)
MAX_INDEXED_CHARS: Final = 64 * 1024
"""Words behind this many characters of a message or stack trace are stored but not indexed."""

COLUMNS: Final = ("message", "error", "ids", "logger")
"""Of the full-text index, in the order of ``Extract.text``. ``error`` holds type, message and stack trace; ``ids``
request and trace.
"""

Text = tuple[str | None, str | None, str | None, str | None]

_LEVEL_BITS: Final = {level: 1 << i for i, level in enumerate(LEVELS)}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class _Log(msgspec.Struct, gc=False):
    level: str | None = None
    logger: str | None = None


class _Error(msgspec.Struct, gc=False):
    type: str | None = None
    message: str | None = None
    stack_trace: str | None = None


class _Named(msgspec.Struct, gc=False):
    id: str | None = None


class _Ml(msgspec.Struct, gc=False):
    inference: _Named | None = None


class _Document(msgspec.Struct, gc=False):
    timestamp: str | None = msgspec.field(name="@timestamp", default=None)
    message: str | None = None
    log: _Log | None = None
    error: _Error | None = None
    ml: _Ml | None = None
    trace: _Named | None = None


_ATTRIBUTES: Final = {field.encode_name: field.name for field in msgspec.structs.fields(_Document)}
_decode = msgspec.json.Decoder(_Document).decode
_decode_places = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def micros(timestamp: str) -> int | None:
    """Microseconds since 1970 of an ISO 8601 time with a zone, or None when it is not one. Finer digits are cut."""
    try:
        return (datetime.fromisoformat(timestamp) - _EPOCH) // _MICROSECOND
    except (ValueError, TypeError):
        return None


def extract(document: bytes) -> tuple[int | None, int, Text]:
    """Time in microseconds (None when unreadable), level bit and the words to index (``COLUMNS``) of a document."""
    try:
        record = _decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        record = _tolerant(document)
    time = None if record.timestamp is None else micros(record.timestamp)
    log, error, ml, trace = record.log, record.error, record.ml, record.trace
    message = record.message
    if message is not None and len(message) > MAX_INDEXED_CHARS:
        message = message[:MAX_INDEXED_CHARS]
    level, logger = (OTHER_LEVEL, None) if log is None else (_LEVEL_BITS.get(log.level or "", OTHER_LEVEL), log.logger)
    request = None if ml is None or ml.inference is None else ml.inference.id
    return (
        time,
        level,
        (
            message,
            None if error is None else _joined(error.type, error.message, error.stack_trace),
            request if trace is None else _joined(request, trace.id),
            logger,
        ),
    )


def _joined(*texts: str | None) -> str | None:
    return "\n".join(text[:MAX_INDEXED_CHARS] for text in texts if text) or None


def _tolerant(document: bytes) -> _Document:
    """Place by place, for a document of which some place is not what it should be: the others still count."""
    record = _Document()
    try:
        places = _decode_places(mend(document))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return record
    for name, attribute in _ATTRIBUTES.items():
        if name in places:
            try:
                one = _decode(b'{"%s":%s}' % (name.encode(), bytes(places[name])))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            setattr(record, attribute, getattr(one, attribute))
    return record
