"""modeltail's own log: constant sentences with fields, one line each, on standard error.

A thin layer over the standard library's ``logging``. A terminal gets readable text, anything else one JSON object per
line, in the shape of ECS logging (``@timestamp``, ``log.level``, ``log.logger``, ``message``; our fields under
``modeltail``), so that modeltail can collect its own log.

Trouble that repeats (a warning or an error with the same sentence and the same ``input``, ``output`` and ``path``) is
one line per ten seconds; the next line says how many were held back in ``repeated``. Values given to ``setup`` as
secrets are replaced wherever they would appear.
"""

import logging
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Literal, TextIO

import msgspec

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "text", "json"]

REPEAT_SECS = 10.0
"""The same trouble is written at most once in this time."""
_IDENTIFYING = ("input", "output", "path")
_REMEMBERED = 1024
_SHORTEST_SECRET = 6
_VALUE_LIMIT = 2000
_CONCEALED = "***"
_ROOT = "modeltail"

_encode = msgspec.json.Encoder(enc_hook=str).encode


class Log:
    """The log of one part of modeltail, named by its place (``inputs.file``). Cheap to make; safe to use from any
    thread.

    Sentences are constant and complete; what varies goes into keyword fields. An exception as a field is written as its
    type and message.
    """

    __slots__ = ("_logger",)

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(f"{_ROOT}.{name}")

    def debug(self, sentence: str, /, **fields: object) -> None:
        """What only a developer asks for; the only level that may be used per record."""
        self._write(logging.DEBUG, sentence, fields)

    def info(self, sentence: str, /, **fields: object) -> None:
        """A change of state that is as it should be."""
        self._write(logging.INFO, sentence, fields)

    def warning(self, sentence: str, /, **fields: object) -> None:
        """Unexpected, but nothing is lost."""
        self._write(logging.WARNING, sentence, fields)

    def error(self, sentence: str, /, **fields: object) -> None:
        """Data is lost, or a person is needed."""
        self._write(logging.ERROR, sentence, fields)

    def _write(self, level: int, sentence: str, fields: dict[str, object]) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, sentence, extra={"fields": fields})


def setup(
    level: Level = "info",
    format: Format = "auto",  # the configuration's own word
    *,
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> None:
    """Send the process's log to ``stream`` (standard error) from now on; calling again replaces what was set.

    Libraries are heard from ``warning`` up, whatever ``level`` says. Secrets shorter than six characters are not
    concealed: replacing every ``a`` or ``true`` would hide the log, not the secret.
    """
    out = sys.stderr if stream is None else stream
    text = format == "text" or (format == "auto" and out.isatty())
    handler = _LineHandler(out, text=text, secrets=secrets, monotonic=monotonic)
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h, _LineHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger(_ROOT).setLevel(level.upper())


class _Repeats:
    """Which trouble was written when, and what was held back since. Bounded: the oldest is forgotten first."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._seen: OrderedDict[tuple[object, ...], tuple[float, int]] = OrderedDict()

    def allow(self, record: logging.LogRecord) -> int | None:
        """How many lines like this one were held back since the last (to be told with it), or None to hold this one
        back as well."""
        if record.levelno < logging.WARNING:
            return 0
        fields = _fields(record)
        key = (record.name, str(record.msg), *(str(fields.get(name)) for name in _IDENTIFYING))
        now = self._monotonic()
        written, held_back = self._seen.get(key, (float("-inf"), 0))
        if now - written < REPEAT_SECS:
            self._seen[key] = (written, held_back + 1)
            return None
        self._seen[key] = (now, 0)
        self._seen.move_to_end(key)
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return held_back


class _LineHandler(logging.Handler):
    """Writes one line per log record. ``logging`` holds the handler's lock around ``emit``."""

    def __init__(self, stream: TextIO, *, text: bool, secrets: Iterable[str], monotonic: Callable[[], float]) -> None:
        super().__init__()
        self._stream = stream
        self._render = _render_text if text else _render_json
        # A secret that contains another is replaced first, or its rest would stay readable.
        self._secrets = sorted({s for s in secrets if len(s) >= _SHORTEST_SECRET}, key=len, reverse=True)
        self._repeats = _Repeats(monotonic)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record. A log that cannot be written must not stop the agent: errors of the stream are dropped."""
        held_back = self._repeats.allow(record)
        if held_back is None:
            return
        fields = {name: self._presentable(value) for name, value in _fields(record).items()}
        if held_back:
            fields["repeated"] = held_back
        if record.exc_info and record.exc_info[1] is not None:
            fields["traceback"] = self._conceal(logging.Formatter().formatException(record.exc_info))
        line = self._render(record, self._conceal(record.getMessage()), fields)
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            return

    def _presentable(self, value: object) -> object:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping):
            return {str(key): self._presentable(item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._presentable(item) for item in value]
        if isinstance(value, BaseException):
            value = f"{type(value).__name__}: {value}"
        elif isinstance(value, bytes):
            value = value.decode("utf-8", "backslashreplace")
        text = self._conceal(str(value)).encode("utf-8", "backslashreplace").decode()
        return text if len(text) <= _VALUE_LIMIT else text[:_VALUE_LIMIT] + "…"

    def _conceal(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, _CONCEALED)
        return text


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    fields: Mapping[str, object] = getattr(record, "fields", {})
    return fields


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{int(record.msecs):03d}Z"


def _render_text(record: logging.LogRecord, message: str, fields: Mapping[str, object]) -> str:
    name = record.name.removeprefix(f"{_ROOT}.")
    parts = [f"{_time(record)} {record.levelname:<7} {name}: {_printable(message)}"]
    parts += [f"{key}={_word(value)}" for key, value in fields.items()]
    return " ".join(parts)


def _word(value: object) -> str:
    """A value as one word: quoted when it has a space or a quote, and with escapes for what is not printable, so
    that no value can forge a line or move a terminal's cursor."""
    text = _encode(value).decode() if isinstance(value, list | dict) else str(value)
    if text and not isinstance(value, list | dict) and (not text.isprintable() or any(c in ' "=' for c in text)):
        text = _encode(text).decode()
    return _printable(text)


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _render_json(record: logging.LogRecord, message: str, fields: Mapping[str, object]) -> str:
    document: dict[str, object] = {
        "@timestamp": _time(record),
        "log.level": record.levelname.lower(),
        "message": message,
        "ecs.version": "9.2.0",
        "service.name": _ROOT,
        "log.logger": record.name.removeprefix(f"{_ROOT}."),
    }
    if fields:
        document[_ROOT] = dict(fields)
    return _encode(document).decode()
