"""The shapes a log record takes on its way from an input to the queue.

A record is never an object of its own here. Records travel together:

* ``Batch``: what an input read in one go from one source: lines, and the position behind them.
* ``Table``: records of a batch that have the same places filled, as columns of JSON text. This is what
  processors look at and change.
* ``Documents``: records of one data stream, rendered. This is what the queue stores.

Values are JSON text (``bytes`` or ``msgspec.Raw``, whichever is at hand) from the moment a line is decoded, so
nothing can re-round a float or rewrite an escape on the way. They hold no newline.
"""

import os
import time
from collections.abc import Sequence

import msgspec

from agent.form import Form

MAX_BATCH_RECORDS = 4096
"""No input puts more records than this in one batch. It bounds the memory a block of tiny lines takes once
rendered (each document carries about 500 bytes of identity)."""


class Origin(msgspec.Struct, frozen=True, array_like=True):
    """How far one source of one input has been read.

    It is stored in the frame that holds the records before the position, so both become durable in one write. ``state``
    is the input's own versioned msgpack (at most 64 KiB); only that input reads it. Empty means "forget this source".
    """

    input: str
    source: str
    state: bytes


class Counts(msgspec.Struct, array_like=True):
    """What happened to the lines of one input, cumulative or of one batch.

    ``accepted`` counts every line taken from the source, so the records that went on to the queue are ``accepted -
    sum(dropped.values())``. ``noted`` counts records that were kept but marked (``invalid_utf8``, ``truncated`` …).
    """

    accepted: int = 0
    bytes: int = 0
    dropped: dict[str, int] = {}
    noted: dict[str, int] = {}

    def add(self, other: "Counts") -> None:
        """Add another batch's counts to these."""
        self.accepted += other.accepted
        self.bytes += other.bytes
        for reason, n in other.dropped.items():
            self.dropped[reason] = self.dropped.get(reason, 0) + n
        for mark, n in other.noted.items():
            self.noted[mark] = self.noted.get(mark, 0) + n

    @property
    def kept(self) -> int:
        """Records that went on to the queue."""
        return self.accepted - sum(self.dropped.values())


class Batch(msgspec.Struct):
    """Lines read together from one source, and the position behind them.

    ``lines`` are without their line end and hold no newline; any other byte may occur. At most ``MAX_BATCH_RECORDS``.
    With ``blocks`` some may hold newlines after all: the input put those together of several lines (a traceback).
    ``columns`` has one JSON text per line for what the input knows of each (``log.offset``); ``constants`` one JSON
    text for what it knows of all (``log.file.path``, ``labels.truncated``). ``sparse`` is like ``columns``, with an
    empty text where the transport says nothing of a line (a syslog header's ``process.name``). All are keyed by place,
    and what a record says of itself comes before them; ``@timestamp`` in ``sparse`` replaces the time of reading, and
    ``log.level`` there goes with ``event.severity``.
    ``counts.accepted`` and ``counts.bytes`` are set by the input and include lines it dropped itself.
    Where only JSON objects are wanted and nobody has looked yet, ``refused`` is a list: a line that is none becomes no
    record, is not accepted, and is added by its index and the reason.
    ``patience_secs`` is how long it may wait for room where ``on_full`` is ``block``: then ``emit`` raises ``NoRoom``.
    """

    input: str
    origin: Origin | None
    read_at_ns: int
    lines: list[bytes]
    columns: dict[str, list[bytes]]
    constants: dict[str, bytes]
    counts: Counts
    tables: "list[Table]" = []
    sparse: dict[str, list[bytes]] = {}
    blocks: bool = False
    refused: list[tuple[int, str]] | None = None
    patience_secs: float | None = None


class Table(msgspec.Struct):
    """Records of a batch that have the same places filled.

    A place is the dotted path of a field in the document (``log.level``, ``ml.model.name``). Behind ``fields.`` and
    ``labels.`` the rest is one key, dots and all. ``columns[i]`` holds the JSON text of ``places[i]`` for each record;
    ``constants`` what is the same for all. ``rows`` says which lines of the batch these are (ascending): documents are
    rendered in that order. ``dataset`` and ``namespace`` name the data stream.
    """

    places: tuple[str, ...]
    columns: list[Sequence[bytes | msgspec.Raw]]
    rows: Sequence[int]
    constants: dict[str, bytes] = {}
    dataset: str = "modeltail.inference"
    namespace: str = "default"


class Documents(msgspec.Struct):
    """``count`` rendered records of one data stream: what ``form`` has for each, every line ended by a newline.

    ``first`` is the index of the first record within its batch number; the ids run from there without gaps. ``hour`` is
    the one all their times lie in (``2026-11-22T10``, UTC), if that is known. ``deflated`` is what the queue made of
    ``lines`` already: the length of the frame's text, the body, and the check.
    """

    stream: str
    batch: int
    first: int
    count: int
    lines: bytes
    form: Form = Form.BULK
    hour: str = ""
    deflated: tuple[int, bytes, int] | None = None


def stream_name(dataset: str, namespace: str) -> str:
    """The part of a data stream's name behind the type: ``logs-<this>`` in Elasticsearch."""
    return f"{dataset}-{namespace}"


class RunId:
    """Made at every start of the process: the first part of every record id this process gives.

    28 hexadecimal digits: 48 bits of the time in milliseconds, so that ids sort by time and Elasticsearch's look-up of
    an id can skip old segments, and 64 random bits, so that a restored backup or a cloned volume can never give an id
    twice.
    """

    def __init__(self, now_ns: int | None = None, random: bytes | None = None) -> None:
        millis = (time.time_ns() if now_ns is None else now_ns) // 1_000_000
        self.text = f"{millis & 0xFFFF_FFFF_FFFF:012x}{(random or os.urandom(8)).hex()}"


def record_id(run: str, batch: int, index: int) -> str:
    """A record's id: ``event.id`` in the document and ``_id`` in Elasticsearch."""
    return f"{run}-{batch:x}-{index:x}"
