"""What every output does, whatever it writes to: one suite over all of them, with the real queue and the real delivery
loop in front."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.destinations import DESTINATIONS, Destination
from tests.contract.destinations.shipment import NEVER_AGAIN, PATIENCE_SECS, QUICK, Run, Shipment

STORY_SECS = 6 * PATIENCE_SECS

Story = Callable[[Destination, Shipment], Awaitable[None]]


def play(kind: type[Destination], folder: Path, story: Story) -> None:
    """Let a story happen between a new destination and a new queue."""

    async def main() -> None:
        there, here = folder / "there", folder / "here"
        there.mkdir()
        here.mkdir()
        async with asyncio.timeout(STORY_SECS), kind(there) as destination:
            await story(destination, Shipment(destination, here))

    asyncio.run(main())


def name(kind: type[Destination]) -> str:
    """What a destination is called in a test's name."""
    return kind.__name__


every = pytest.mark.parametrize("kind", DESTINATIONS, ids=name)


def those(able: str) -> pytest.MarkDecorator:
    """Only the destinations with this flag."""
    return pytest.mark.parametrize("kind", [kind for kind in DESTINATIONS if getattr(kind, able)], ids=name)


@every
def test_every_record_arrives_as_it_was_written(kind: type[Destination], tmp_path: Path) -> None:
    """Records of two data streams, in batches of many sizes, with values that a careless reader would alter."""

    async def story(destination: Destination, shipment: Shipment) -> None:
        async with shipment.run() as run:
            for count in (1, 19, 20, 21, 60, 2):
                odd = {"n": 1.1099999999999999, "big": 2**70, "text": 'é€😀 \x00 \\ " </script>\u2028'}
                await run.append(count, fields=odd)
                await run.append(count, stream="modeltail.other-default")
            await run.until_delivered()
            ledger = await run.finish()
            assert ledger.balances
            assert ledger.outputs["it"].fates == {"delivered": len(shipment.accepted)}
        await shipment.assert_each_has_its_fate()

    play(kind, tmp_path, story)


@those("loses_answers")
def test_lost_answer_leads_to_a_repeat(kind: type[Destination], tmp_path: Path) -> None:
    """The request arrived and nobody heard of it: it is sent again, and is not there twice where that can be told."""

    async def story(destination: Destination, shipment: Shipment) -> None:
        async with shipment.run() as run:
            await run.append(20)
            await run.until_delivered()
            destination.lose_answer()
            await run.append(20)
            if not destination.repeats_itself:
                await run.until_failures(1)
            await run.append(20)
            await run.until_delivered()
            assert (await run.finish()).balances
        await shipment.assert_each_has_its_fate()

    play(kind, tmp_path, story)


@those("rejects")
@pytest.mark.parametrize("place", [0, 7, 19])
def test_poisoned_record_holds_up_no_other(kind: type[Destination], tmp_path: Path, place: int) -> None:
    """The one record that is refused whatever it looks like ends as a dead letter; all others are delivered."""

    async def story(destination: Destination, shipment: Shipment) -> None:
        async with shipment.run() as run:
            await run.append(20)
            await run.append(20, poisoned=place)
            await run.append(20)
            await run.until_delivered()
            ledger = await run.finish()
            assert ledger.balances
            assert ledger.outputs["it"].fates == {"delivered": 59, "dead_lettered": 1}
        await shipment.assert_each_has_its_fate()

    play(kind, tmp_path, story)


@those("goes_away")
def test_starts_while_nobody_listens(kind: type[Destination], tmp_path: Path) -> None:
    """The agent begins its work before the other end does; what was written meanwhile is delivered then."""

    async def story(destination: Destination, shipment: Shipment) -> None:
        await destination.go_away()
        async with shipment.run() as run:
            await run.append(20)
            await run.until_failures(2)
            await destination.come_back()
            await run.until_delivered()
            assert (await run.finish()).balances
        await shipment.assert_each_has_its_fate()

    play(kind, tmp_path, story)


@those("goes_away")
def test_stops_when_asked_while_nobody_listens(kind: type[Destination], tmp_path: Path) -> None:
    """In the middle of a back-off without end: what is queued stays, is counted, and the next run delivers it."""

    async def story(destination: Destination, shipment: Shipment) -> None:
        async with shipment.run(NEVER_AGAIN) as run:
            await run.append(20)
            await run.until_delivered()
            await destination.go_away()
            for _ in range(5):
                await run.append(20)
            await run.until_failures(1)
            ledger = await run.finish()
            assert ledger.balances
            assert ledger.outputs["it"].queued == 100
        await destination.come_back()
        async with shipment.run() as run:
            await run.until_delivered()
            ledger = await run.finish()
            assert ledger.balances
            assert ledger.outputs["it"].fates == {"delivered": 120}
        await shipment.assert_each_has_its_fate()

    play(kind, tmp_path, story)


@every
@pytest.mark.parametrize("left", [400, 300, 0])
def test_stops_when_cancelled(kind: type[Destination], tmp_path: Path, left: int) -> None:
    """Before, while and after records are sent: cancelling ends it at once, and the next run delivers what is left."""

    async def story(destination: Destination, shipment: Shipment) -> None:
        async with shipment.run() as run:
            for _ in range(40):
                await run.append(10)
            await run.until_delivered(left)
            await run.cancel()
            assert run.ledger().balances
        async with shipment.run() as run:
            await run.append(10)
            await run.until_delivered()
            ledger = await run.finish()
            assert ledger.balances
            assert ledger.outputs["it"].fates == {"delivered": 410}
        await shipment.assert_each_has_its_fate()

    play(kind, tmp_path, story)


@those("goes_away")
def test_stops_when_cancelled_while_nobody_listens(kind: type[Destination], tmp_path: Path) -> None:
    """In the middle of a back-off: nothing is lost, and nothing left running."""

    async def story(destination: Destination, shipment: Shipment) -> None:
        await destination.go_away()
        async with shipment.run(NEVER_AGAIN) as run:
            await run.append(20)
            await run.until_failures(1)
            await run.cancel()
            assert run.subscription.queued == 20
        await destination.come_back()
        async with shipment.run() as run:
            await run.until_delivered()
            assert (await run.finish()).balances
        await shipment.assert_each_has_its_fate()

    play(kind, tmp_path, story)


@those("goes_away")
def test_what_is_held_does_not_grow_while_nobody_listens(kind: type[Destination], tmp_path: Path) -> None:
    """However much is written meanwhile, the frames taken out of the queue stay the same few."""

    async def story(destination: Destination, shipment: Shipment) -> None:
        await destination.go_away()
        async with shipment.run() as run:
            for _ in range(10):
                await run.append(20)
            await run.until_failures(3)
            held = set(run.subscription.held)
            for _ in range(100):
                await run.append(20)
            await run.until_failures(run.loop.state.failures + 3)
            assert 0 < len(held) <= 10
            assert set(run.subscription.held) == held
            await destination.come_back()
            await run.until_delivered()
            assert (await run.finish()).balances
        await shipment.assert_each_has_its_fate()

    play(kind, tmp_path, story)


@those("throttles")
def test_throttled_output_backs_off(kind: type[Destination], tmp_path: Path) -> None:
    """After "too much" nothing is asked again at once: the one request there was waits for its back-off, which a stop
    cuts short, and fewer requests may be in flight."""

    async def story(destination: Destination, shipment: Shipment) -> None:
        async with shipment.run(NEVER_AGAIN) as run:
            await run.append(20)
            await run.until_delivered()
            before, run.loop.limit.limit = run.loop.state.requests, 4.0
            destination.throttle(1)
            await run.append(20)
            await run.until_failures(1)
            for _ in range(20):
                await asyncio.sleep(0.001)
            assert run.loop.state.requests == before + 1
            assert run.loop.limit.limit == 2.0
            assert run.subscription.queued > 0
            assert (await run.finish()).outputs["it"].queued == 0
        await shipment.assert_each_has_its_fate()

    play(kind, tmp_path, story)


@every
def test_check_writes_nothing(kind: type[Destination], tmp_path: Path) -> None:
    """Asked before anything was sent, it answers in sentences and leaves nothing there."""

    async def story(destination: Destination, shipment: Shipment) -> None:
        async with destination.output() as output:
            assert all(await output.check())
        assert await destination.received() == []

    play(kind, tmp_path, story)


@those("goes_away")
def test_check_says_that_nobody_listens(kind: type[Destination], tmp_path: Path) -> None:
    """It does not raise, and gives the person at the terminal a sentence."""

    async def story(destination: Destination, shipment: Shipment) -> None:
        await destination.go_away()
        async with destination.output() as output:
            problems = await output.check()
        assert problems
        assert all(problems)
        await destination.come_back()
        assert await destination.received() == []

    play(kind, tmp_path, story)


class Step(msgspec.Struct, frozen=True):
    """One thing that happens."""

    what: Literal["append", "poison", "go away", "come back", "lose answer", "throttle", "cancel", "failure"]
    count: int = 1


def steps(kind: type[Destination]) -> st.SearchStrategy[list[Step]]:
    """What can happen to a destination and the agent before it."""
    kinds = [
        st.builds(Step, st.just("append"), st.integers(1, 50)),
        st.just(Step("cancel")),
    ]
    if kind.rejects:
        kinds.append(st.builds(Step, st.just("poison"), st.integers(1, 5)))
    if kind.goes_away:
        kinds += [st.just(Step("go away")), st.just(Step("come back")), st.just(Step("failure"))]
    if kind.loses_answers:
        kinds.append(st.just(Step("lose answer")))
    if kind.throttles:
        kinds.append(st.builds(Step, st.just("throttle"), st.integers(1, 3)))
    return st.lists(st.one_of(kinds), max_size=10)


class Played:
    """A script of steps, played up to its end or to the next cancelling."""

    def __init__(self, destination: Destination, script: list[Step]) -> None:
        self.rest = list(script)
        self._destination = destination
        self._is_away = False

    async def go_on(self, run: Run) -> None:
        """Play with this run of the agent."""
        while self.rest and (step := self.rest.pop(0)).what != "cancel":
            await self._play(step, run)

    async def end(self) -> None:
        """Nobody is away any more."""
        if self._is_away:
            await self._destination.come_back()
            self._is_away = False

    async def _play(self, step: Step, run: Run) -> None:
        match step.what:
            case "append":
                await run.append(step.count)
            case "poison":
                await run.append(step.count, poisoned=step.count // 2)
            case "go away" if not self._is_away:
                await self._destination.go_away()
                self._is_away = True
            case "come back":
                await self.end()
            case "lose answer":
                self._destination.lose_answer()
            case "throttle":
                self._destination.throttle(step.count)
            case "failure" if self._is_away:
                await run.until_failures_or_delivered(run.loop.state.failures + 1)


@every
def test_ledger_balances_after_any_trouble(kind: type[Destination]) -> None:
    """Whatever goes wrong in whatever order, and however often the agent dies: when all is well again every record has
    one fate, and the sum says which."""

    @settings(max_examples=kind.examples)
    @given(script=steps(kind))
    def example(script: list[Step]) -> None:
        async def story(destination: Destination, shipment: Shipment) -> None:
            played = Played(destination, script)
            while played.rest:
                async with shipment.run() as run:
                    await played.go_on(run)
            await played.end()
            async with shipment.run(msgspec.structs.replace(QUICK, batch_records=7)) as run:
                await run.append(3)
                await run.until_delivered()
                ledger = await run.finish()
                assert ledger.balances, ledger.problems
                fates = ledger.outputs["it"].fates
                dead = len(shipment.poisoned)
                assert fates.get("dead_lettered", 0) == dead
                assert fates["delivered"] == len(shipment.accepted) - dead
            await shipment.assert_each_has_its_fate()

        with tempfile.TemporaryDirectory(prefix="modeltail-outputs-") as folder:
            play(kind, Path(folder), story)

    example()
