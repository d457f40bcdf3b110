"""The other ends that the suite over all outputs is given for Elasticsearch and OpenSearch do what they say."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from agent.errors import NoAnswer, Retryable
from tests.contract.destinations.destination import Destination
from tests.contract.destinations.elasticsearch import ElasticsearchDestination, OpensearchDestination
from tests.fakes.batches import batch_of, document

Story = Callable[[Destination], Coroutine[Any, Any, None]]
Play = Callable[[Story], None]


@pytest.fixture(params=[ElasticsearchDestination, OpensearchDestination])
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Play:
    """Runs a story with a destination."""

    def run(story: Story) -> None:
        async def inside() -> None:
            async with request.param(tmp_path) as destination:
                await story(destination)

        asyncio.run(inside())

    return run


def test_it_is_there_again_with_what_it_had(play: Play) -> None:
    """Away, connections are refused; back, the same documents are there, and a repeat is recognised."""

    async def story(destination: Destination) -> None:
        async with destination.output() as output:
            batch = batch_of([document(0), document(1)])
            await output.send(batch)
            await destination.go_away()
            with pytest.raises(Retryable):
                await output.send(batch)
            await destination.come_back()
            assert (await output.send(batch)).duplicates == 2
            assert await destination.received() == batch.ids()
            assert await destination.documents() == dict(zip(batch.ids(), batch.documents(), strict=True))

    play(story)


def test_it_may_be_left_while_it_is_away(play: Play) -> None:
    """Nothing of it is left running."""

    async def story(destination: Destination) -> None:
        await destination.go_away()

    play(story)


def test_an_answer_can_be_lost(play: Play) -> None:
    """The records are there, and the output does not know."""

    async def story(destination: Destination) -> None:
        async with destination.output() as output:
            batch = batch_of([document(0)])
            destination.lose_answer()
            with pytest.raises(NoAnswer):
                await output.send(batch)
            assert await destination.received() == batch.ids()

    play(story)


def test_requests_can_be_too_many(play: Play) -> None:
    """So many are refused, with nothing taken; the next is not."""

    async def story(destination: Destination) -> None:
        async with destination.output() as output:
            destination.throttle(2)
            for _ in range(2):
                with pytest.raises(Retryable) as caught:
                    await output.send(batch_of([document(0)]))
                assert caught.value.overloaded
            assert await destination.received() == []
            await output.send(batch_of([document(0)]))

    play(story)


def test_a_poisoned_record_is_refused_even_rescued(play: Play) -> None:
    """Its neighbours are taken."""

    async def story(destination: Destination) -> None:
        async with destination.output() as output:
            batch = batch_of([document(0), document(1), document(2)])
            destination.poison(batch.ids()[1])
            assert list((await output.send(batch)).rejected) == [1]
            assert list((await output.send(batch.subset([1]))).rejected) == [0]
            assert sorted(await destination.received()) == sorted([batch.ids()[0], batch.ids()[2]])

    play(story)
