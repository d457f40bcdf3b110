"""The agent's numbers in Prometheus' text format.

They are read from the ledger and the running parts when asked for, so nothing on the path of a record touches a metric.
Labels come from closed sets: input and output ids from the configuration, reasons from the code.
"""

import time
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from agent.ledger import Ledger
from agent.status.view import View


def exposition(view: View, ledger: Ledger) -> bytes:
    """All metrics, in the classic text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_AgentCollector(view, ledger))
    return generate_latest(registry)


def ledger_metrics(ledger: Ledger) -> Iterator[Metric]:
    """Every number of the ledger."""
    yield from _inputs(ledger)
    yield from _outputs(ledger)
    yield from _dead_letters(ledger)
    appended = CounterMetricFamily("modeltail_queue_records", "Records put into the queue over its life.")
    appended.add_metric([], ledger.appended)
    balances = GaugeMetricFamily("modeltail_ledger_balances", "1 when the ledger adds up.")
    balances.add_metric([], 1.0 if ledger.balances else 0.0)
    yield from (appended, balances)


def _inputs(ledger: Ledger) -> Iterator[Metric]:
    accepted = CounterMetricFamily("modeltail_input_records", "Records accepted.", labels=["input"])
    size = CounterMetricFamily("modeltail_input_bytes", "Bytes read.", labels=["input"])
    dropped = CounterMetricFamily(
        "modeltail_input_dropped_records",
        "Records dropped before the queue, by reason.",
        labels=["input", "reason"],
    )
    noted = CounterMetricFamily(
        "modeltail_input_noted_records", "Records kept but marked, by mark.", labels=["input", "mark"]
    )
    for name, line in ledger.inputs.items():
        accepted.add_metric([name], line.accepted)
        size.add_metric([name], line.bytes)
        for reason, n in line.dropped.items():
            dropped.add_metric([name, reason], n)
        for mark, n in line.noted.items():
            noted.add_metric([name, mark], n)
    yield from (accepted, size, dropped, noted)


def _outputs(ledger: Ledger) -> Iterator[Metric]:
    fates = CounterMetricFamily(
        "modeltail_output_records", "Records an output is through with, by fate.", labels=["output", "fate"]
    )
    queued = GaugeMetricFamily("modeltail_output_queued_records", "Records waiting for an output.", labels=["output"])
    beside = CounterMetricFamily(
        "modeltail_output_noted_records", "Records counted beside the sum, by what.", labels=["output", "what"]
    )
    for name, out in ledger.outputs.items():
        queued.add_metric([name], out.queued)
        for fate, n in out.fates.items():
            fates.add_metric([name, fate], n)
        for what, n in out.noted.items():
            beside.add_metric([name, what], n)
    before = GaugeMetricFamily(
        "modeltail_output_earlier_records", "Records put into the queue before an output joined.", labels=["output"]
    )
    for name, out in ledger.outputs.items():
        before.add_metric([name], out.before)
    yield from (fates, queued, beside, before)


def _dead_letters(ledger: Ledger) -> Iterator[Metric]:
    letters = GaugeMetricFamily(
        "modeltail_dead_letters", "Dead letters of an output: in its store, or how they left it.",
        labels=["output", "state"],
    )  # fmt: skip
    size = GaugeMetricFamily("modeltail_dead_letters_bytes", "Bytes they take.", labels=["output"])
    for name, out in ledger.outputs.items():
        there = out.dead_letters
        letters.add_metric([name, "kept"], there.kept)
        letters.add_metric([name, "replayed"], there.replayed)
        letters.add_metric([name, "purged"], there.purged)
        letters.add_metric([name, "expired"], there.expired)
        size.add_metric([name], there.bytes)
    yield from (letters, size)


class _AgentCollector(Collector):
    def __init__(self, view: View, ledger: Ledger) -> None:
        self._view = view
        self._ledger = ledger

    def collect(self) -> Iterator[Metric]:
        yield from ledger_metrics(self._ledger)
        yield from self._queue()
        yield from self._delivery()
        yield from self._backlog()
        yield from self._progress()
        yield from self._stores()

    def _queue(self) -> Iterator[Metric]:
        queue = self._view.queue
        used = GaugeMetricFamily("modeltail_queue_bytes", "Bytes the queue takes on disk.")
        used.add_metric([], queue.used_bytes)
        limit = GaugeMetricFamily("modeltail_queue_max_bytes", "Bytes the queue may take on disk.")
        limit.add_metric([], queue.max_bytes)
        trouble = GaugeMetricFamily("modeltail_queue_trouble", "1 while the queue cannot be written.")
        trouble.add_metric([], 0.0 if queue.trouble is None else 1.0)
        unwritten = CounterMetricFamily(
            "modeltail_receipts_unwritten_records", "Records that cannot be verified: their receipt was not written."
        )
        unwritten.add_metric([], queue.receipts.unwritten)
        yield from (used, limit, trouble, unwritten)

    def _delivery(self) -> Iterator[Metric]:
        requests = CounterMetricFamily("modeltail_output_requests", "Requests sent.", labels=["output"])
        failures = CounterMetricFamily(
            "modeltail_output_failures", "Requests that failed as a whole.", labels=["output"]
        )
        in_flight = GaugeMetricFamily("modeltail_output_in_flight", "Batches being delivered.", labels=["output"])
        limit = GaugeMetricFamily("modeltail_output_concurrency_limit", "Batches that may be.", labels=["output"])
        trouble = GaugeMetricFamily("modeltail_output_trouble", "1 while an output takes nothing.", labels=["output"])
        paused = GaugeMetricFamily(
            "modeltail_output_paused", "1 while an output waits for a person.", labels=["output"]
        )
        for name, loop in self._view.loops.items():
            requests.add_metric([name], loop.state.requests)
            failures.add_metric([name], loop.state.failures)
            in_flight.add_metric([name], loop.limit.in_flight)
            limit.add_metric([name], int(loop.limit.limit))
            trouble.add_metric([name], 0.0 if loop.state.trouble_at(time.monotonic()) is None else 1.0)
            paused.add_metric([name], 1.0 if loop.state.paused else 0.0)
        yield from (requests, failures, in_flight, limit, trouble, paused)

    def _backlog(self) -> Iterator[Metric]:
        size = GaugeMetricFamily("modeltail_output_queued_bytes", "Bytes on disk before an output.", labels=["output"])
        oldest = GaugeMetricFamily(
            "modeltail_output_oldest_queued_seconds", "Age of the oldest record before an output.", labels=["output"]
        )
        for name, backlog in self._view.backlogs().items():
            size.add_metric([name], backlog.bytes)
            oldest.add_metric([name], backlog.oldest_secs)
        yield from (size, oldest)

    def _progress(self) -> Iterator[Metric]:
        files = GaugeMetricFamily("modeltail_input_files", "Files followed.", labels=["input"])
        unread = GaugeMetricFamily("modeltail_input_unread_bytes", "Bytes not read yet.", labels=["input"])
        behind = GaugeMetricFamily(
            "modeltail_input_generations_behind", "Rotated files not read to their end.", labels=["input"]
        )
        truncations = CounterMetricFamily(
            "modeltail_input_truncations", "Files that became shorter under the reader.", labels=["input"]
        )
        for name, component in self._view.inputs.items():
            progress = component.progress()
            files.add_metric([name], progress.files)
            unread.add_metric([name], progress.unread_bytes)
            behind.add_metric([name], progress.generations_behind)
            truncations.add_metric([name], progress.truncations)
        yield from (files, unread, behind, truncations)

    def _stores(self) -> Iterator[Metric]:
        stored = CounterMetricFamily("modeltail_store_records", "Records stored since the start.", labels=["output"])
        removed = CounterMetricFamily(
            "modeltail_store_removed_records", "Records removed to keep a store's limits.", labels=["output"]
        )
        set_aside = CounterMetricFamily(
            "modeltail_store_damaged_files", "Files of a store set aside as damaged.", labels=["output"]
        )
        for name, store in self._view.stores.items():
            stored.add_metric([name], store.counts.stored)
            removed.add_metric([name], store.counts.removed)
            set_aside.add_metric([name], store.counts.set_aside)
        yield from (stored, removed, set_aside)
