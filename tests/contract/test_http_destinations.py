"""The other ends of the outputs over plain HTTP do what the suite over all outputs asks of them."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from agent.delivery.contract import DeliveryBatch, Outcome
from agent.errors import NoAnswer, Refused, Retryable, SendError
from tests.contract.destinations.http import HttpDestination
from tests.contract.destinations.loki import LokiDestination
from tests.contract.destinations.otlp import OtlpDestination
from tests.contract.destinations.shipment import QUICK, Shipment
from tests.fakes.batches import document

Kind = type[HttpDestination] | type[LokiDestination] | type[OtlpDestination]


@pytest.mark.parametrize("kind", [HttpDestination, LokiDestination, OtlpDestination])
def test_a_model_that_is_broken_for_long_holds_up_nobody(kind: Kind, tmp_path: Path) -> None:
    """A hundred poisoned records on end, each a batch of its own, become dead letters; what is behind them arrives."""

    async def story() -> None:
        async with kind(tmp_path) as destination:
            shipment = Shipment(destination, tmp_path)
            async with shipment.run() as run:
                await run.append(1)
                await run.until_delivered()
                for _ in range(100):
                    await run.append(1, poisoned=0)
                    await run.until_delivered()
                await run.append(5)
                await run.until_delivered()
            await shipment.assert_each_has_its_fate()

    asyncio.run(story())


@pytest.mark.parametrize("kind", [HttpDestination, LokiDestination, OtlpDestination])
@pytest.mark.parametrize("poisoned", [range(200), range(200, 400)], ids=["good behind", "good before"])
def test_much_poison_at_the_start_is_known_by_the_good_beside_it(kind: Kind, poisoned: range, tmp_path: Path) -> None:
    """Nothing was taken yet, and two hundred poisoned records are on end: the good ones of the same batch arrive before
    the address is doubted."""

    async def story() -> None:
        async with kind(tmp_path) as destination:
            shipment = Shipment(destination, tmp_path)
            async with shipment.run(msgspec.structs.replace(QUICK, batch_records=1000)) as run:
                await run.append(400, poisoned=poisoned)
                await run.until_delivered()
            await shipment.assert_each_has_its_fate()

    asyncio.run(story())


@pytest.mark.parametrize("kind", [HttpDestination, LokiDestination, OtlpDestination])
def test_faults_are_played_once_and_in_their_order(kind: Kind, tmp_path: Path) -> None:
    """A throttled request takes nothing, a lost answer all; what is poisoned never gets there."""

    def batch(*ids: str) -> DeliveryBatch:
        return DeliveryBatch.of_documents("test-default", [*ids], [document(0, event={"id": i}) for i in ids])

    async def story() -> None:
        async with asyncio.timeout(20), kind(tmp_path) as destination, destination.output() as output:

            async def end(*ids: str) -> type[Outcome] | type[SendError]:
                try:
                    return type(await output.send(batch(*ids)))
                except SendError as error:
                    return type(error)

            destination.throttle(1)
            destination.lose_answer()
            assert [await end("a"), await end("b"), await end("c")] == [Retryable, NoAnswer, Outcome]
            await destination.go_away()
            assert issubclass(await end("d"), Retryable)
            await destination.come_back()
            destination.poison("e")
            assert await end("e") is Refused
            assert sorted(await destination.received()) == ["b", "c"]

    asyncio.run(story())
