"""Entries for the queue, as a pipeline would make them, without a pipeline."""

from agent.queue.group import Entry
from agent.record import Counts, Documents, Origin, record_id

RUN = "run"


def entry(
    batch: int, count: int = 3, *, stream: str = "test-default", source: str = "s", position: int = 0, pad: int = 0
) -> Entry:
    """``count`` numbered documents of ``pad`` extra bytes, and a position behind them."""
    lines = []
    for i in range(count):
        record = record_id(RUN, batch, i)
        lines.append(
            b'{"create":{"_id":"%s"}}\n{"n":"%s","pad":"%s"}\n' % (record.encode(), record.encode(), b"x" * pad)
        )
    documents = [Documents(stream, batch, 0, count, b"".join(lines))] if count else []
    return Entry("in", documents, Origin("in", source, str(position or batch).encode()), Counts(count, count * 10))


def ids(batch: int, count: int = 3) -> list[str]:
    """The record ids of that entry."""
    return [record_id(RUN, batch, i) for i in range(count)]
