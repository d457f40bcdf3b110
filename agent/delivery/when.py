"""The option ``when`` of an output: queries, of which at least one must find a record for the output to want it. Pure.

Frames are looked through as a whole first: one in which nothing can match costs no more than being inflated. A batch
that is wanted as a whole stays the frames it is.
"""

from collections.abc import Sequence

from agent.delivery.contract import DeliveryBatch
from agent.delivery.wanted import Wanted, all_of
from agent.errors import ConfigError
from agent.form import documents
from agent.query.language import Query, parse
from agent.query.select import may_select, select
from agent.queue.frame import inflate


class When:
    """The queries of one output. Raises ``QueryError``, and ``ConfigError`` when a query has words and this Python's
    SQLite cannot look for them."""

    def __init__(self, queries: Sequence[str]) -> None:
        self._queries: list[Query] = [parse(query) for query in queries]
        if any(query.needs_words for query in self._queries):
            from agent.query.words import fts5_problem

            if (problem := fts5_problem()) is not None:
                raise ConfigError([f"`when` cannot look for words: {problem}"])

    def of(self, batch: DeliveryBatch) -> Wanted:
        """What the output wants of a batch of whole frames."""
        places: list[int] = []
        wanted: list[bytes] = []
        by_frame: list[int] = []
        first = 0
        for frame, body in zip(batch.frames, batch.bodies, strict=True):
            text = inflate(frame, body)
            chosen: list[int] = []
            if may_select(self._queries, text):
                here = documents(frame.form, text)
                chosen = select(self._queries, here)
                wanted += [here[i] for i in chosen]
            places += [first + i for i in chosen]
            by_frame.append(len(chosen))
            first += frame.count
        if len(places) == batch.count:
            return all_of(batch)
        ids = batch.ids() if places else []
        part = DeliveryBatch.of_documents(batch.stream, [ids[i] for i in places], wanted)
        part.attempt, part.in_doubt = batch.attempt, batch.in_doubt
        return Wanted(part, places, by_frame)
