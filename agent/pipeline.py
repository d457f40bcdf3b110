"""From an input's batch to the queue: processors in order, then documents, then one append."""

import itertools
from collections.abc import Callable, Sequence

from agent.inputs.contract import Emit
from agent.queue.config import OnFull
from agent.queue.group import Entry
from agent.queue.queue import Queue
from agent.record import Batch
from agent.render import render

Processor = Callable[[Batch], Batch]
"""Synchronous and pure; what it drops it counts by reason in ``batch.counts.dropped``."""


class Pipeline:
    """Gives each batch its number within the run, which with the run id makes its record ids. One for the whole
    process."""

    def __init__(self, queue: Queue, run: str) -> None:
        self._queue = queue
        self._run = run
        self._numbers = itertools.count(1)

    def emit_through(self, processors: Sequence[Processor], on_full: OnFull) -> Emit:
        """What an input awaits for each batch: it returns when the batch is in the queue as far as the sync policy
        says."""

        async def emit(batch: Batch) -> None:
            for process in processors:
                batch = process(batch)
            documents = render(batch, self._run, next(self._numbers))
            await self._queue.append(Entry(batch.input, documents, batch.origin, batch.counts), on_full)

        return emit
