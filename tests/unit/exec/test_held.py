"""The buffer between the model's pipe and a queue that may not answer."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.inputs.exec.held import HELD_BYTES, OVERRUN, Held
from agent.inputs.lines import Cut

LINE = b"x" * 1000


def lines(n: int) -> Cut:
    """So many lines of a kilobyte."""
    return Cut([LINE] * n, [0] * n, 0, n * (len(LINE) + 1))


async def put_all(held: Held, cuts: int) -> None:
    """Offer so many batches of a megabyte."""
    for _ in range(cuts):
        await held.put(lines(1000), 0)


@pytest.mark.parametrize("cuts", [20, 200])
def test_a_queue_that_does_not_answer_costs_records_and_holds_nobody(cuts: int) -> None:
    """The buffer takes what fits; the rest is counted, to the line and the byte, and no memory."""

    async def scenario() -> None:
        held = Held("it", "stdout", waits=False)
        async with asyncio.timeout(60):
            await put_all(held, cuts)
        held.close()
        kept = 0
        while (first := await held.first()) is not None:
            kept += len(first[0].lines)
            held.taken()
        dropped = held.dropped()
        assert dropped is not None
        assert dropped.accepted == dropped.dropped[OVERRUN] == cuts * 1000 - kept
        assert dropped.bytes == dropped.accepted * (len(LINE) + 1)
        assert 0 < kept * len(LINE) <= HELD_BYTES
        assert held.dropped() is None

    asyncio.run(scenario())


def test_a_queue_that_takes_loses_nothing() -> None:
    """However much faster the model is: it waits for room as long as batches are taken."""

    async def scenario() -> None:
        held = Held("it", "stdout", waits=False)
        offering = asyncio.create_task(put_all(held, 100))
        kept = 0
        while kept < 100_000:
            first = await held.first()
            assert first is not None
            kept += len(first[0].lines)
            await asyncio.sleep(0)
            held.taken()
        await offering
        assert held.dropped() is None

    asyncio.run(scenario())


@settings(deadline=None)
@given(st.lists(st.integers(min_value=1, max_value=5000), max_size=30), st.integers(min_value=1, max_value=10))
def test_every_line_is_taken_or_counted_and_in_order(kilobytes: list[int], rests: int) -> None:
    """Whatever comes, and however slowly it is taken."""

    async def scenario() -> None:
        held = Held("it", "stdout", waits=False)
        taken: list[int] = []
        dropped = 0

        async def take() -> None:
            nonlocal dropped
            while (first := await held.first()) is not None:
                for _ in range(rests):
                    await asyncio.sleep(0)
                taken.append(first[0].begin)
                held.taken()
                if counts := held.dropped():
                    dropped += counts.accepted

        taking = asyncio.create_task(take())
        for n, size in enumerate(kilobytes):
            await held.put(Cut([b"x" * size * 1000], [n], n, n + 1), 0)
        held.close()
        await taking
        assert len(taken) + dropped == len(kilobytes)
        assert taken == sorted(taken)

    asyncio.run(scenario())


def test_goes_on_when_the_queue_answers_again() -> None:
    """After a stall, what comes has room again; only what came during it is gone."""

    async def scenario() -> None:
        held = Held("it", "stdout", waits=False)
        await put_all(held, 20)
        assert held.dropped() is not None
        await held.first()
        held.taken()
        await held.first()
        held.taken()
        await put_all(held, 1)
        assert held.dropped() is None

    asyncio.run(scenario())


def test_one_batch_larger_than_the_buffer_goes_through() -> None:
    """A line may be longer than all the room there is."""

    async def scenario() -> None:
        held = Held("it", "stdout", waits=False)
        await held.put(Cut([b"x" * 2 * HELD_BYTES], [0], 0, 2 * HELD_BYTES), 0)
        assert await held.first() is not None
        assert held.dropped() is None

    asyncio.run(scenario())


def test_the_reader_waits_if_it_is_to() -> None:
    """``on_full: block``: not one batch more until the one before is taken."""

    async def scenario() -> None:
        held = Held("it", "stdout", waits=True)
        await held.put(lines(1), 0)
        second = asyncio.create_task(held.put(lines(1), 0))
        for _ in range(50):
            await asyncio.sleep(0.005)
        assert not second.done()
        await held.first()
        held.taken()
        async with asyncio.timeout(60):
            await second

    asyncio.run(scenario())
