"""From an input's batch to the queue: processors in order, then documents, then one append."""

import itertools
from collections.abc import Callable, Sequence

from agent.form import Form
from agent.inputs.contract import Emit
from agent.log import Log
from agent.processors.normalise.levels import Level
from agent.processors.shed import shed
from agent.queue.config import OnFull
from agent.queue.group import Entry
from agent.queue.queue import Queue
from agent.record import Batch
from agent.render import render

Processor = Callable[[Batch], Batch]
"""Synchronous and pure; what it drops it counts by reason in ``batch.counts.dropped``."""

_log = Log("pipeline")


class Pipeline:
    """Gives each batch its number within the run, which with the run id makes its record ids, and its documents their
    form. One for the whole process."""

    def __init__(self, queue: Queue, run: str, form: Form) -> None:
        self._queue = queue
        self._run = run
        self._form = form
        self._numbers = itertools.count(1)
        self._shed = 0

    def emit_through(self, processors: Sequence[Processor], on_full: OnFull) -> Emit:
        """What an input awaits for each batch: it returns when the batch is in the queue as far as the sync policy
        says."""

        async def emit(batch: Batch) -> None:
            for process in processors:
                batch = process(batch)
            if batch.refused and not (batch.counts.accepted or batch.counts.noted):
                return  # nothing of it is wanted
            below = self._queue.shed_below
            if below is not None:
                batch = self._without(batch, below)
            documents = render(batch, self._run, next(self._numbers), form=self._form)
            # Freed while they still lie in the processor's cache: the next batch is read into the same memory.
            batch.lines, batch.tables = [], []
            entry = Entry(batch.input, documents, batch.origin, batch.counts)
            await self._queue.append(entry, on_full, batch.patience_secs)

        return emit

    def _without(self, batch: Batch, below: Level) -> Batch:
        """Make do with less while room is short. Before ids are given, so that they have no gaps."""
        kept = batch.counts.kept
        batch = shed(batch, below)
        if batch.counts.kept < kept:
            self._shed += kept - batch.counts.kept
            _log.error(
                "The queue fills up: records of low levels are dropped",
                input=batch.input, below=below, since_start=self._shed,
            )  # fmt: skip
        return batch
