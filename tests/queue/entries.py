"""Entries for the queue, as a pipeline would make them, without a pipeline."""

from agent.form import Form
from agent.queue.group import Entry
from agent.record import Counts, Documents, Origin, record_id
from tests.fakes.batches import lines_of

RUN = "run"


def entry(
    batch: int,
    count: int = 3,
    *,
    stream: str = "test-default",
    source: str = "s",
    position: int = 0,
    pad: int = 0,
    form: Form = Form.BULK,
) -> Entry:
    """``count`` numbered documents of ``pad`` extra bytes, and a position behind them."""
    made = ((record, b'{"n":"%s","pad":"%s"}' % (record.encode(), b"x" * pad)) for record in ids(batch, count))
    documents = [Documents(stream, batch, 0, count, lines_of(made, form), form)] if count else []
    return Entry("in", documents, Origin("in", source, str(position or batch).encode()), Counts(count, count * 10))


def entry_in_turn(batch: int, count: int = 3, *, source: str = "s", position: int = 0, pad: int = 0) -> Entry:
    """The same, each batch in the next form."""
    return entry(batch, count, source=source, position=position, pad=pad, form=Form(batch % len(Form)))


def ids(batch: int, count: int = 3) -> list[str]:
    """The record ids of that entry."""
    return [record_id(RUN, batch, i) for i in range(count)]
