"""The agent's numbers in Prometheus' text format.

They are read from the ledger and the running parts when asked for, so nothing on the path of a record touches a metric.
Labels come from closed sets: input and output ids from the configuration, reasons from the code.
"""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from agent.status.view import View


def exposition(view: View) -> bytes:
    """All metrics, in the classic text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_AgentCollector(view))
    return generate_latest(registry)


class _AgentCollector(Collector):
    def __init__(self, view: View) -> None:
        self._view = view

    def collect(self) -> Iterator[Metric]:
        yield from self._ledger()
        yield from self._queue()
        yield from self._delivery()

    def _ledger(self) -> Iterator[Metric]:
        ledger = self._view.ledger()
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
        fates = CounterMetricFamily(
            "modeltail_output_records", "Records an output is through with, by fate.", labels=["output", "fate"]
        )
        queued = GaugeMetricFamily(
            "modeltail_output_queued_records", "Records waiting for an output.", labels=["output"]
        )
        beside = CounterMetricFamily(
            "modeltail_output_noted_records", "Records counted beside the sum, by what.", labels=["output", "what"]
        )
        for name, out in ledger.outputs.items():
            queued.add_metric([name], out.queued)
            for fate, n in out.fates.items():
                fates.add_metric([name, fate], n)
            for what, n in out.noted.items():
                beside.add_metric([name, what], n)
        balances = GaugeMetricFamily("modeltail_ledger_balances", "1 when the ledger adds up.")
        balances.add_metric([], 1.0 if ledger.balances else 0.0)
        yield from (accepted, size, dropped, noted, fates, queued, beside, balances)

    def _queue(self) -> Iterator[Metric]:
        queue = self._view.queue
        used = GaugeMetricFamily("modeltail_queue_bytes", "Bytes the queue takes on disk.")
        used.add_metric([], queue.used_bytes)
        limit = GaugeMetricFamily("modeltail_queue_max_bytes", "Bytes the queue may take on disk.")
        limit.add_metric([], queue.max_bytes)
        trouble = GaugeMetricFamily("modeltail_queue_trouble", "1 while the queue cannot be written.")
        trouble.add_metric([], 0.0 if queue.trouble is None else 1.0)
        yield from (used, limit, trouble)

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
            trouble.add_metric([name], 0.0 if loop.state.trouble is None else 1.0)
            paused.add_metric([name], 1.0 if loop.state.paused else 0.0)
        yield from (requests, failures, in_flight, limit, trouble, paused)
