"""The output ``kinesis`` under the real delivery loop: what trouble with all of its requests, or with the largest
record, comes to in the end."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from agent.delivery.config import DeliveryConfig
from agent.delivery.dead_letters.config import DeadLettersConfig
from agent.delivery.dead_letters.store import DeadLetters
from agent.delivery.loop import DeliveryLoop
from agent.ledger import OutputLine, make_ledger
from agent.queue.config import QueueConfig
from agent.queue.group import Entry
from agent.queue.queue import open_queue
from agent.record import Counts, Documents, Origin, record_id
from tests.contract.destinations.kinesis import Kinesis
from tests.fakes.aws_faults import changes_answer, fails_records, says

RUN = "run"
MIB = 1024**2

Then = Callable[[DeliveryLoop], Awaitable[None]]


async def nothing(loop: DeliveryLoop) -> None:
    """No more than to wait."""


def documents_of(*sizes: int) -> list[bytes]:
    """Documents of about these sizes, with the ids they will have."""
    return [
        json.dumps({"event": {"id": record_id(RUN, 1, i)}, "m": "x" * size}, separators=(",", ":")).encode()
        for i, size in enumerate(sizes)
    ]


async def delivered(there: Kinesis, documents: list[bytes], then: Then = nothing, **settings: Any) -> OutputLine:
    """The output's line of the ledger once all of them have a fate; ``then`` happens meanwhile."""
    lines = b"".join(
        b'{"create":{"_id":"%s"}}\n%s\n' % (record_id(RUN, 1, i).encode(), d) for i, d in enumerate(documents)
    )
    count = len(documents)
    entry = Entry("in", [Documents("test-default", 1, 0, count, lines)], Origin("in", "s", b"1"), Counts(count, count))
    config = DeliveryConfig(backoff_initial=0.0001, backoff_max=0.0005, batch_age=0.0)
    where = QueueConfig(path=there.folder / "queue", min_free=0, sync_interval=0.001)
    async with asyncio.timeout(60), there.output(**settings) as output, open_queue(where, RUN) as queue:
        subscription = queue.subscribe("it", from_oldest=True)
        store = DeadLetters(there.folder / "dead-letters", DeadLettersConfig())
        loop = DeliveryLoop(output, queue, subscription, config, store)
        running = asyncio.create_task(loop.run())
        await queue.append(entry, "block")
        await then(loop)
        while subscription.queued:
            assert not running.done(), running.result()
            await asyncio.sleep(0.001)  # the queue has no event for "empty"
        loop.finish()
        await running
        ledger = make_ledger(queue.counts, queue.total, queue.cursors)
        assert ledger.balances
        return ledger.outputs["it"]


def test_large_document_that_is_throttled_for_long_is_not_given_up(tmp_path: Path) -> None:
    """Kinesis says when something is too large; that it has enough, however often, is no hint of it."""

    async def run() -> None:
        async with Kinesis(tmp_path) as there:
            throttled = fails_records(None, "ProvisionedThroughputExceededException")
            there.proxy.faults += [throttled] * 20
            line = await delivered(there, documents_of(2 * MIB))
            assert line.fates == {"delivered": 1}
            assert not there.proxy.faults

    asyncio.run(run())


def test_request_that_is_wrong_whatever_is_in_it_buries_nothing(tmp_path: Path) -> None:
    """Each request is refused as invalid: the output waits for a person, and delivers all when that is mended."""

    async def run() -> None:
        async with Kinesis(tmp_path) as there:
            wrong = says(400, "ValidationException", "1 validation error detected")
            there.proxy.faults += [wrong] * 1000

            async def mend(loop: DeliveryLoop) -> None:
                while not (loop.state.paused and "every request is refused" in (loop.state.trouble or "")):
                    await asyncio.sleep(0.001)
                there.proxy.faults.clear()

            line = await delivered(there, documents_of(*[10] * 8), mend)
            assert line.fates == {"delivered": 8}

    asyncio.run(run())


def test_document_that_spoils_its_call_is_found_and_kept(tmp_path: Path) -> None:
    """moto fails a whole call over one record of more than 1 MiB, which the stream said it would take: that document is
    a dead letter, and every other is there."""

    async def run() -> None:
        async with Kinesis(tmp_path) as there:

            def raised(answer: dict[str, Any]) -> dict[str, Any]:
                return {"StreamDescriptionSummary": {**answer["StreamDescriptionSummary"], "MaxRecordSizeInKiB": 4096}}

            there.proxy.strikes = lambda asked: asked.operation == "DescribeStreamSummary"
            there.proxy.faults += [changes_answer(raised)] * 100
            documents = documents_of(10, 10, 2 * MIB, 10, 10)
            line = await delivered(there, documents, aggregation="none")
            assert line.fates == {"delivered": 4, "dead_lettered": 1}
            assert sorted((await there.documents()).values()) == sorted(d for d in documents if len(d) < MIB)

    asyncio.run(run())
