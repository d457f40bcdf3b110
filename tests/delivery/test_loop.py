"""The delivery loop: whatever an output answers, every record gets exactly one fate, and the sum says which."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.delivery.config import DeliveryConfig
from agent.delivery.contract import DeliveryBatch, Outcome
from agent.delivery.dead_letters import DeadLetters, DeadLettersConfig
from agent.delivery.loop import DeliveryLoop
from agent.errors import NoAnswer, Paused, Refused, Retryable, TooLarge
from agent.ledger import OutputLine, make_ledger
from agent.queue.config import QueueConfig
from agent.queue.queue import open_queue
from tests.fakes.output import FakeOutput, Step
from tests.queue.entries import RUN, entry, ids

QUICK = DeliveryConfig(backoff_initial=0.0001, backoff_max=0.0005, batch_age=0.0)


def _deliver(folder: Path, output: FakeOutput, batches: int = 4, config: DeliveryConfig = QUICK) -> OutputLine:
    """Append the batches, deliver until all have a fate, and return the output's line of the ledger."""

    async def main() -> OutputLine:
        async with (
            asyncio.timeout(20),
            open_queue(QueueConfig(path=folder, min_free=0, sync_interval=0.001), RUN) as queue,
        ):
            subscription = queue.subscribe("fake", from_oldest=True)
            store = DeadLetters(folder / "dead-letters", DeadLettersConfig())
            loop = DeliveryLoop(output, queue, subscription, config, store)
            running = asyncio.create_task(loop.run())
            for batch in range(1, batches + 1):
                await queue.append(entry(batch, 10), "block")
            while subscription.queued:
                assert not running.done(), running.result()
                await asyncio.sleep(0.001)  # the queue has no event for "empty"
            loop.finish()
            await running
            ledger = make_ledger(queue.counts, queue.total, queue.cursors)
            assert ledger.balances
            return ledger.outputs["fake"]

    return asyncio.run(main())


def _all_ids(batches: int = 4) -> list[str]:
    return [record for batch in range(1, batches + 1) for record in ids(batch, 10)]


@pytest.mark.parametrize(
    "trouble",
    [
        Retryable("503"),
        Retryable("429", retry_after_secs=0.001, overloaded=True),
        NoAnswer("timeout"),
        Paused("401: wrong password"),
        TooLarge("413"),
        Refused("400"),
    ],
    ids=["503", "429", "no answer", "401", "413", "400"],
)
def test_trouble_with_a_whole_request_costs_no_record(tmp_path: Path, trouble: Any) -> None:
    """After any failure of a request all its records still arrive, each once."""
    output = FakeOutput([trouble, None, trouble])
    line = _deliver(tmp_path, output)
    assert sorted(output.taken) == sorted(_all_ids())
    assert line.fates == {"delivered": 40}


def test_only_the_failed_items_are_sent_again(tmp_path: Path) -> None:
    """Items answered with 429 are sent again; their neighbours are not."""
    output = FakeOutput([lambda batch: Outcome(retry=[1, 3])])
    line = _deliver(tmp_path, output, batches=1)
    assert output.requests == [10, 2]
    assert line.fates == {"delivered": 10}
    assert line.noted == {"retried": 2}


def test_refused_record_is_rescued_under_its_own_id(tmp_path: Path) -> None:
    """A record refused for its content arrives in the form nothing refuses, and is counted as rescued."""
    output = FakeOutput([lambda batch: Outcome(rejected={4: "mapping"})])
    line = _deliver(tmp_path, output, batches=1)
    assert output.taken[ids(1, 10)[4]] == b'{"rescued":"%s"}' % ids(1, 10)[4].encode()
    assert line.fates == {"delivered": 9, "rescued": 1}


@pytest.mark.parametrize("rescues", [True, False])
def test_record_refused_for_good_is_a_dead_letter_with_its_reason(tmp_path: Path, rescues: bool) -> None:
    """What even rescue cannot deliver is kept with the reason and the document, and does not hold up the rest."""
    refuse_rescue: Step = lambda batch: Outcome(rejected={0: "no rescue"})  # noqa: E731
    output = FakeOutput(
        [lambda batch: Outcome(rejected={2: "mapping conflict"}), refuse_rescue][: 2 if rescues else 1], rescues=rescues
    )
    line = _deliver(tmp_path, output, batches=1)
    assert line.fates == {"delivered": 9, "dead_lettered": 1}
    (file,) = (tmp_path / "dead-letters").glob("*.ndjson")
    assert b"mapping conflict" in file.read_bytes()
    assert b'"document":{"n":"%s"' % ids(1, 10)[2].encode() in file.read_bytes()


def test_poisoned_record_in_a_refused_request_is_found_by_halving(tmp_path: Path) -> None:
    """When a request is refused whole, the culprit alone is set aside."""
    culprit = ids(1, 10)[7]

    def answer(batch: DeliveryBatch) -> Outcome:
        if culprit in batch.ids() and b"rescued" not in batch.documents()[0]:
            raise Refused("malformed")
        return Outcome()

    output = FakeOutput([answer] * 20)
    line = _deliver(tmp_path, output, batches=1)
    assert line.fates == {"delivered": 9, "rescued": 1}


def test_item_that_is_never_taken_alone_is_split_out(tmp_path: Path) -> None:
    """A 429 that comes back for the same records with nothing else in flight does not hold up their neighbours for
    ever."""

    def too_many(batch: DeliveryBatch) -> Outcome:
        return Outcome(retry=list(range(batch.count))) if batch.count > 2 else Outcome()

    line = _deliver(tmp_path, FakeOutput([too_many] * 200), batches=1)
    assert line.fates == {"delivered": 10}


def test_stop_leaves_undelivered_records_in_the_queue(tmp_path: Path) -> None:
    """With a dead output, stopping takes one more attempt and no loss: a later run delivers everything."""

    async def main() -> int:
        async with open_queue(QueueConfig(path=tmp_path, min_free=0), RUN) as queue:
            subscription = queue.subscribe("fake", from_oldest=True)
            output = FakeOutput([Retryable("down")] * 1000)
            slow = DeliveryConfig(backoff_initial=60, backoff_max=60)
            loop = DeliveryLoop(output, queue, subscription, slow, DeadLetters(tmp_path / "d", DeadLettersConfig()))
            running = asyncio.create_task(loop.run())
            await queue.append(entry(1, 10), "block")
            while not output.requests:
                await asyncio.sleep(0.001)
            loop.finish()
            async with asyncio.timeout(5):
                await running
            assert subscription.queued == 10
            return len(output.requests)

    assert asyncio.run(main()) == 2
    output = FakeOutput()
    _deliver(tmp_path, output, batches=0)
    assert sorted(output.taken) == sorted(ids(1, 10))


Answer = Callable[[DeliveryBatch], Outcome]


def _mixed(retry: list[int], rejected: list[int]) -> Answer:
    def answer(batch: DeliveryBatch) -> Outcome:
        bad = {i % batch.count: "refused" for i in rejected}
        return Outcome(retry=sorted({i % batch.count for i in retry} - set(bad)), rejected=dict(bad))

    return answer


steps: st.SearchStrategy[Step] = st.one_of(
    st.none(),
    st.sampled_from([Retryable("503"), NoAnswer("reset"), Paused("403"), TooLarge("413"), Refused("400")]),
    st.builds(_mixed, st.lists(st.integers(0, 40), max_size=5), st.lists(st.integers(0, 40), max_size=3)),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=st.lists(steps, max_size=12), rescues=st.booleans())
def test_every_record_has_one_fate_under_any_script(
    tmp_path_factory: pytest.TempPathFactory, script: Iterable[Step], rescues: bool
) -> None:
    """Delivered + rescued + dead-lettered is what was accepted, and the output holds exactly the delivered and rescued
    ones."""
    output = FakeOutput(script, rescues=rescues)
    line = _deliver(tmp_path_factory.mktemp("q"), output)
    assert sum(line.fates.values()) == 40
    assert len(output.taken) == line.fates.get("delivered", 0) + line.fates.get("rescued", 0)
    assert set(output.taken) <= set(_all_ids())
