"""The dead-letter store: records an output refused for good, with the reason.

One folder per output, files ``<number>.ndjson``, each line one JSON object: ``output``, ``time`` (ISO, when it was
given up), ``id``, ``stream``, ``reason``, ``attempts`` and ``document`` (the JSON that was refused, as it was). A
record counts as dead-lettered once its line is synced. The store is bounded by size and age: the oldest file goes, and
what was in it is counted as expired.
"""

import os
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from agent.config.fields import Duration, Size
from agent.log import Log

_FILE_BYTES = 4 * 1024**2
_log = Log("dead-letters")


class DeadLettersConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The store of records that an output refused for good. It lies in the queue's folder."""

    max_bytes: Annotated[Size, Meta(description="Room for the refused records of one output; the oldest go first.")] = (
        256 * 1024**2
    )
    max_age: Annotated[Duration, Meta(description="How long refused records are kept.")] = 30 * 86400.0


class DeadLetter(msgspec.Struct):
    """One refused record."""

    output: str
    time: str
    id: str
    stream: str
    reason: str
    attempts: int
    document: msgspec.Raw


_encode = msgspec.json.Encoder().encode


def dead_letter(output: str, record: str, stream: str, reason: str, attempts: int, document: bytes) -> DeadLetter:
    """A refused record as of now. A document that is not JSON is kept as a string."""
    try:
        msgspec.json.decode(document, type=msgspec.Raw)
        raw = msgspec.Raw(document)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raw = msgspec.Raw(_encode(document.decode("utf-8", "replace")))
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return DeadLetter(output, now, record, stream, reason, attempts, raw)


class DeadLetters:
    """The store of one output. Blocking."""

    def __init__(self, folder: Path, config: DeadLettersConfig) -> None:
        self._folder = folder
        self._config = config

    def put(self, letters: Iterable[DeadLetter]) -> None:
        """Append, durably. Raises ``OSError``; then nothing counts as stored, though some of it may be."""
        self._folder.mkdir(parents=True, exist_ok=True)
        data = b"".join(_encode(letter) + b"\n" for letter in letters)
        files = self.files()
        newest = files[-1] if files and files[-1].stat().st_size < _FILE_BYTES else None
        path = newest or self._folder / f"{int(files[-1].stem) + 1 if files else 1:08d}.ndjson"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        start = os.fstat(handle).st_size
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(handle, view) :]
            os.fsync(handle)
        except OSError:
            os.ftruncate(handle, start)
            raise
        finally:
            os.close(handle)
        self._expire()

    def files(self) -> list[Path]:
        """The files, oldest first."""
        return sorted(self._folder.glob("[0-9]*.ndjson")) if self._folder.is_dir() else []

    def _expire(self) -> None:
        files = self.files()
        sizes = [path.stat() for path in files]
        total = sum(stat.st_size for stat in sizes)
        for path, stat in zip(files[:-1], sizes[:-1], strict=True):
            if total <= self._config.max_bytes and stat.st_mtime > time.time() - self._config.max_age:
                break
            with path.open("rb") as file:
                lines = sum(1 for _ in file)
            _log.error("Old dead letters are deleted to keep the store in its bounds", path=str(path), records=lines)
            path.unlink()
            total -= stat.st_size
