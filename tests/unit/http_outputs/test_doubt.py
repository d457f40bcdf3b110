"""Refusals are believed while something is taken in between; a server that refuses everything gets no record given
up."""

import asyncio
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.delivery.contract import DeliveryBatch, Outcome
from agent.errors import CutOff, NoAnswer, Paused, Refused, Retryable, SendError, TooLarge
from agent.outputs.http_client.doubt import MAX_REFUSED_IN_A_ROW, Doubt
from tests.unit.http_outputs.sending import batch_of

Event = tuple[Literal["good", "poison", "breaks", "mends"], int]
"""So many records that come, or that the server refuses everything from now on, or no longer."""


class Server:
    """Takes what is not poisoned while it ``works``. What it took before it meets with ``fails_again``, if that is
    set."""

    def __init__(self) -> None:
        self.works = True
        self.fails_again: SendError | None = None
        self.taken: list[str] = []

    async def send_once(self, batch: DeliveryBatch) -> Outcome:
        """Take the whole or nothing."""
        if self.fails_again is not None and batch.ids()[0] in self.taken:
            raise self.fails_again
        if not self.works or any(record.startswith("poison") for record in batch.ids()):
            raise Refused("no good")
        self.taken += batch.ids()
        return Outcome()


async def end_of(doubt: Doubt, record: str) -> type[Outcome] | type[SendError]:
    """What becomes of a batch of one record."""
    try:
        return type(await doubt.send(batch_of(record)))
    except SendError as error:
        return type(error)


events = st.lists(
    st.tuples(st.sampled_from(["good", "poison", "breaks", "mends"]), st.integers(1, 3 * MAX_REFUSED_IN_A_ROW)),
    max_size=12,
)


@given(story=events)
def test_records_are_given_up_for_what_they_are_and_for_nothing_else(story: list[Event]) -> None:
    """Whatever comes in which order: while the server takes nothing, no more than a bounded number is given up; while
    it works, and has taken something once, poison holds up nothing; and what it is asked with is there under its own
    id, once for each so many that were given up."""

    async def play() -> None:
        server, given_up, since_taken = Server(), 0, 0
        good: list[str] = []
        doubt = Doubt(server.send_once)
        for what, count in story:
            if what in ("breaks", "mends"):
                server.works = what == "mends"
                continue
            for n in range(count):
                record = f"{what} {len(good)} {n}"
                before = len(server.taken)
                end = await end_of(doubt, record)
                since_taken = 0 if len(server.taken) > before else since_taken
                if end is Outcome:
                    assert server.works
                    good.append(record)
                elif end is Refused:
                    assert what == "poison" or not server.works
                    since_taken += 1
                    given_up += 1
                    assert since_taken <= MAX_REFUSED_IN_A_ROW
                else:
                    assert end is Paused
                    assert not server.works or not server.taken
        assert set(server.taken) == set(good)
        assert len(server.taken) - len(good) <= given_up / MAX_REFUSED_IN_A_ROW

    asyncio.run(play())


async def doubting() -> tuple[Doubt, Server]:
    """One that took a record and then was given as much poison as is believed."""
    server = Server()
    doubt = Doubt(server.send_once)
    assert await end_of(doubt, "good") is Outcome
    for _ in range(MAX_REFUSED_IN_A_ROW):
        assert await end_of(doubt, "poison") is Refused
    return doubt, server


def test_the_record_it_is_asked_with_is_the_last_that_was_taken() -> None:
    """One of long ago may be too old for it by now."""

    async def play() -> None:
        server = Server()
        doubt = Doubt(server.send_once)
        for record in ("a", "b"):
            await end_of(doubt, record)
        for _ in range(MAX_REFUSED_IN_A_ROW + 1):
            assert await end_of(doubt, "poison") is Refused
        assert server.taken == ["a", "b", "b"]

    asyncio.run(play())


@pytest.mark.parametrize(
    ("fails", "end"),
    [
        (Retryable("later", 7.0, overloaded=True), Retryable),
        (NoAnswer("silence"), Retryable),
        (CutOff("the connection broke"), Retryable),
        (TooLarge("too large"), Paused),
        (Paused("not you"), Paused),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, SendError) else "",
)
def test_trouble_while_asking_gives_up_nothing(fails: SendError, end: type[SendError]) -> None:
    """And speaks for nothing that the refused record did: not that it is in doubt, nor that it is too large."""

    async def play() -> None:
        doubt, server = await doubting()
        server.fails_again = fails
        assert await end_of(doubt, "poison") is end

    asyncio.run(play())


def test_refused_batches_do_not_count_as_refused_records() -> None:
    """They are split; which record it is, only one alone can show."""

    async def play() -> None:
        doubt, server = await doubting()
        for _ in range(2):
            with pytest.raises(Refused):
                await doubt.send(batch_of("poison", "good"))
        assert server.taken == ["good"]

    asyncio.run(play())
