"""The output `logstash` by lumberjack towards a reader that can be told to misbehave."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agent.delivery.contract import DeliveryBatch, Outcome
from agent.errors import CutOff, NoAnswer, Paused, Retryable, SendError
from agent.form import Form
from agent.outputs.logstash.config import LogstashConfig
from agent.outputs.logstash.lumberjack import STRIKES, LumberjackOutput
from agent.outputs.logstash.windows import Patience
from tests.fakes.batches import document, named_batch_of
from tests.fakes.lumberjack import (
    FakeLumberjack,
    Fault,
    Talk,
    acknowledges_too_much,
    answers_byte_by_byte,
    hangs_up,
    is_alive_until,
    loses_answer,
    never_answers,
    says_garbage,
    takes,
)

TEST_SECS = 30.0

Story = Callable[[LumberjackOutput, FakeLumberjack], Awaitable[None]]


def of(count: int) -> DeliveryBatch:
    """A batch of so many records."""
    return named_batch_of([document(i) for i in range(count)])


def play(story: Story, *, knows_knocking: bool = True, **settings: Any) -> FakeLumberjack:
    """Let a story happen between an output and a server."""

    async def main() -> FakeLumberjack:
        async with asyncio.timeout(TEST_SECS), FakeLumberjack(knows_knocking=knows_knocking) as server:
            async with LumberjackOutput(LogstashConfig(id="it", hosts=[server.host], **settings)) as output:
                await story(output, server)
            return server

    return asyncio.run(main())


def again(batch: DeliveryBatch) -> DeliveryBatch:
    """The batch as the delivery loop sends it after an attempt without an answer."""
    batch.attempt += 1
    batch.in_doubt = True
    return batch


async def trouble(sending: Awaitable[Outcome]) -> SendError:
    """The error that a send ends with."""
    with pytest.raises(SendError) as caught:
        await sending
    return caught.value


def test_batch_goes_out_in_windows_over_one_connection() -> None:
    """No window has more than 2,048 events, and batches share the connection."""

    async def story(output: LumberjackOutput, server: FakeLumberjack) -> None:
        batches = [of(5000), of(1)]
        assert list(await asyncio.gather(*map(output.send, batches))) == [Outcome(), Outcome()]
        assert sorted(server.windows) == [1, 904, 2048, 2048]
        taken = [event.record for event in server.taken]
        assert sorted(taken) == sorted(record for batch in batches for record in batch.ids())
        assert server.connections == 1

    play(story)


def test_small_frames_share_a_window_and_large_ones_take_several() -> None:
    """Whole frames together where they fit, each record once, in order."""
    batch = named_batch_of(*([document(i) for i in range(count)] for count in (1, 1, 2000, 47, 5000, 3)))

    async def story(output: LumberjackOutput, server: FakeLumberjack) -> None:
        assert await output.send(batch) == Outcome()
        assert server.windows == [2002, 47, 2048, 2048, 907]
        assert [event.record for event in server.taken] == batch.ids()
        assert [event.document for event in server.taken] == batch.documents()

    play(story)


def test_large_frame_that_lies_in_the_queue_as_it_is_sent_is_a_window() -> None:
    """Up to as many events as readers take; small frames share a window, and the order stays."""
    pad = "x" * 1000
    batch = named_batch_of(
        *([document(i, pad=pad) for i in range(count)] for count in (1, 2, 3000, 1, 100)),
        [document(i) for i in range(4097)],
        form=Form.LUMBERJACK,
    )

    async def story(output: LumberjackOutput, server: FakeLumberjack) -> None:
        assert await output.send(batch) == Outcome()
        assert server.windows == [3, 3000, 1, 100, 2048, 2048, 1]
        assert [event.record for event in server.taken] == batch.ids()
        assert [event.document for event in server.taken] == batch.documents()

    play(story)


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("compress", [True, False])
def test_every_form_is_sent(form: Form, compress: bool) -> None:
    """What the queue holds of another form is made events."""
    batch = named_batch_of([document(i, pad="x" * 100) for i in range(1000)], [document(1)], form=form)

    async def story(output: LumberjackOutput, server: FakeLumberjack) -> None:
        assert await output.send(batch) == Outcome()
        assert [event.document for event in server.taken] == batch.documents()

    play(story, compress=compress)


def test_next_window_is_written_before_the_first_is_acknowledged() -> None:
    """The server reads three windows, of two batches, and only then speaks; in their order."""

    async def reads_on(talk: Talk) -> None:
        counts = [len(talk.events)]
        talk.take()
        while len(counts) < 3:
            counts.append(await talk.read_window())
            talk.take()
        for count in counts:
            talk.say(count)

    async def story(output: LumberjackOutput, server: FakeLumberjack) -> None:
        server.faults.append(reads_on)
        outcomes = await asyncio.gather(output.send(of(3000)), output.send(of(7)))
        assert list(outcomes) == [Outcome(), Outcome()]
        assert len(server.taken) == 3007

    play(story)


def test_every_unacknowledged_send_hears_of_a_broken_connection() -> None:
    """All that was on its way over it may or may not have arrived."""

    async def story(output: LumberjackOutput, server: FakeLumberjack) -> None:
        server.faults.append(hangs_up)
        errors = await asyncio.gather(*(trouble(output.send(of(count))) for count in (5, 1, 3)))
        assert [type(error) for error in errors] == [NoAnswer] * 3
        assert await output.send(of(2)) == Outcome()

    play(story)


@pytest.mark.parametrize("then", [hangs_up, loses_answer, acknowledges_too_much, says_garbage, never_answers])
def test_acknowledged_part_is_delivered_when_the_rest_is_not(then: Fault) -> None:
    """Only the rest is sent again, in doubt."""

    async def story(output: LumberjackOutput, server: FakeLumberjack) -> None:
        server.faults.append(takes(3, then))
        assert await output.send(of(10)) == Outcome(retry=list(range(3, 10)), in_doubt=True)

    play(story, request_timeout=1.0)


def test_windows_before_the_one_that_fails_are_delivered() -> None:
    """The index of what is to be sent again counts from the batch's beginning."""

    async def story(output: LumberjackOutput, server: FakeLumberjack) -> None:
        async def second(talk: Talk) -> None:
            server.faults.append(takes(2, hangs_up))
            talk.take()
            talk.say(len(talk.events))

        server.faults.append(second)
        outcome = await output.send(of(3000))
        assert outcome == Outcome(retry=list(range(2050, 3000)), in_doubt=True)

    play(story)


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        (hangs_up, NoAnswer, "broke"),
        (loses_answer, NoAnswer, "broke"),
        (never_answers, NoAnswer, "sign of life"),
        (acknowledges_too_much, Paused, "event 10001 acknowledged of 2 sent"),
        (says_garbage, Paused, "does not speak lumberjack"),
    ],
)
def test_each_trouble_has_its_error(fault: Fault, kind: type[SendError], said: str) -> None:
    """With the host that made it; the next batch is sent over a new connection."""

    async def story(output: LumberjackOutput, server: FakeLumberjack) -> None:
        server.faults.append(fault)
        error = await trouble(output.send(of(2)))
        assert type(error) is kind
        assert said in str(error)
        assert server.host in str(error)
        assert await output.send(of(2)) == Outcome()
        assert server.connections == 2

    play(story, request_timeout=1.0)


def test_signs_of_life_are_waited_for() -> None:
    """No limit of time for the only host: a full pipeline is back-pressure, not trouble."""

    async def story(output: LumberjackOutput, server: FakeLumberjack) -> None:
        done = asyncio.Event()
        server.faults.append(is_alive_until(done, 0.05, answers_byte_by_byte))
        sending = asyncio.create_task(output.send(of(2)))
        await asyncio.wait([sending], timeout=1.5)
        assert not sending.done()
        done.set()
        assert await sending == Outcome()

    play(story, request_timeout=1.0)


def test_connection_closed_while_idle_is_made_anew() -> None:
    """Logstash closes what is quiet for a minute; nobody is told, nothing is in doubt."""

    async def story(output: LumberjackOutput, server: FakeLumberjack) -> None:
        async def works_and_closes(talk: Talk) -> None:
            talk.take()
            talk.say(len(talk.events))
            talk.writer.close()

        server.faults.append(works_and_closes)
        assert await output.send(of(1)) == Outcome()
        (link,) = output._links._links.values()
        while link.lost is None:
            await asyncio.sleep(0)
        assert await output.send(of(1)) == Outcome()
        assert server.connections == 2

    play(story)


def test_cancelled_send_leaves_the_others_their_acknowledgements() -> None:
    """Its window is on its way; what comes back for it is not taken for another's."""

    async def story(output: LumberjackOutput, server: FakeLumberjack) -> None:
        done = asyncio.Event()
        server.faults.append(is_alive_until(done, 1.0, takes(1, loses_answer)))
        first = asyncio.create_task(output.send(of(1)))
        while not server.windows:
            await asyncio.sleep(0)
        second = asyncio.create_task(output.send(of(2)))
        await asyncio.sleep(0)
        first.cancel()
        done.set()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert isinstance(await trouble(second), NoAnswer)

    play(story)


# Several hosts.


def play_with_two(
    story: Callable[[LumberjackOutput, FakeLumberjack, FakeLumberjack], Awaitable[None]], **settings: Any
) -> None:
    """Let a story happen between an output and two servers."""

    async def main() -> None:
        async with asyncio.timeout(TEST_SECS), FakeLumberjack() as one, FakeLumberjack() as other:
            config = LogstashConfig(id="it", hosts=[one.host, other.host], **settings)
            async with LumberjackOutput(config) as output:
                await story(output, one, other)

    asyncio.run(main())


def test_hosts_share_the_load_and_stand_in_for_one_another() -> None:
    """Batches go round; when one host is gone, one attempt fails and the rest go to the other."""

    async def story(output: LumberjackOutput, one: FakeLumberjack, other: FakeLumberjack) -> None:
        for _ in range(4):
            assert await output.send(of(1)) == Outcome()
        assert (len(one.taken), len(other.taken)) == (2, 2)
        await one.go_away()
        outcomes = await asyncio.gather(*(output.send(of(1)) for _ in range(4)), return_exceptions=True)
        assert outcomes.count(Outcome()) == 2
        assert all(isinstance(outcome, Outcome | Retryable) for outcome in outcomes)
        for _ in range(4):
            assert await output.send(of(1)) == Outcome()
        assert len(other.taken) == 8

    play_with_two(story)


def test_stuck_host_does_not_take_what_the_other_can() -> None:
    """It says that it is alive and holds a batch; all that follow go to the other, however many."""

    async def story(output: LumberjackOutput, one: FakeLumberjack, other: FakeLumberjack) -> None:
        done = asyncio.Event()
        one.faults.append(is_alive_until(done, 0.05, answers_byte_by_byte))
        held = asyncio.create_task(output.send(of(1)))
        while not one.windows:
            await asyncio.sleep(0)
        for _ in range(9):
            assert await output.send(of(2)) == Outcome()
        assert (one.windows, other.windows) == ([1], [2] * 9)
        done.set()
        assert await held == Outcome()

    play_with_two(story)


def test_stuck_host_is_given_up_where_there_is_another() -> None:
    """In time: what it held is in doubt, and is taken by the other."""

    async def story(output: LumberjackOutput, one: FakeLumberjack, other: FakeLumberjack) -> None:
        one.faults.append(is_alive_until(asyncio.Event(), 0.02, hangs_up))
        batch = of(2)
        error = await trouble(output.send(batch))
        assert type(error) is NoAnswer
        assert one.host in str(error)
        assert await output.send(again(batch)) == Outcome()
        assert [event.record for event in other.taken] == batch.ids()

    play_with_two(story, request_timeout=0.2)


def test_patience_doubles_until_something_is_acknowledged() -> None:
    """Where every host is stuck, each repeat makes more for it to do."""
    patience = Patience(300.0)
    for _ in range(3):
        patience.ran_out()
    assert patience.secs == 2400.0
    patience.was_rewarded()
    assert patience.secs == 300.0


def test_unreachable_host_is_retryable_and_said_by_check() -> None:
    """Nothing was sent, and the sentence names the host."""

    async def story(output: LumberjackOutput, server: FakeLumberjack) -> None:
        await server.go_away()
        error = await trouble(output.send(of(1)))
        assert type(error) is Retryable
        (problem,) = await output.check()
        assert problem == str(error)
        assert server.host in problem

    play(story)


@pytest.mark.parametrize("settings", [{}, {"tls": True}])
@pytest.mark.parametrize("host", ["a..b:5044", ".a:5044", "x" * 64 + ":5044"])
def test_name_that_cannot_be_one_pauses(host: str, settings: dict[str, Any]) -> None:
    """A slip in the configuration ends neither the delivery loop nor the check with a traceback."""

    async def main() -> None:
        async with LumberjackOutput(LogstashConfig(id="it", hosts=[host], **settings)) as output:
            error = await trouble(output.send(of(1)))
            assert type(error) is Paused
            assert await output.check() == [str(error)]

    asyncio.run(main())


def test_check_sends_nothing() -> None:
    """It connects; whatever it sent would be an event."""

    async def story(output: LumberjackOutput, server: FakeLumberjack) -> None:
        assert await output.check() == []

    assert play(story).windows == []


# Records that no reader can read.


@pytest.fixture
def short_knock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers that do not answer a window of nothing are not waited for."""
    monkeypatch.setattr("agent.outputs.logstash.lumberjack.KNOCK_SECS", 0.05)


def test_repeat_under_which_connections_break_points_at_the_batch() -> None:
    """So the delivery loop halves it. It goes over a connection of its own, and others are not disturbed."""

    async def story(output: LumberjackOutput, server: FakeLumberjack) -> None:
        bad = of(4)
        server.poisoned.add(bad.ids()[2])
        assert type(await trouble(output.send(bad))) is NoAnswer
        done = asyncio.Event()
        server.faults.append(is_alive_until(done, 1.0, answers_byte_by_byte))
        good = asyncio.create_task(output.send(of(1)))
        while len(server.windows) < 2:
            await asyncio.sleep(0)
        assert type(await trouble(output.send(again(bad)))) is CutOff
        done.set()
        assert await good == Outcome()

    play(story)


async def until_blamed(output: LumberjackOutput, batch: DeliveryBatch) -> list[type[SendError]]:
    """What the delivery loop hears until it has heard three times in a row that a batch may be to blame."""
    heard = [type(await trouble(output.send(batch)))]
    while heard[-3:] != [CutOff] * 3:
        heard.append(type(await trouble(output.send(again(batch)))))
    return heard


def test_single_record_is_blamed_when_the_reader_is_at_work() -> None:
    """It answered a window of nothing, and broke the connection at the record, ten times."""

    async def story(output: LumberjackOutput, server: FakeLumberjack) -> None:
        bad = of(1)
        server.poisoned.update(bad.ids())
        assert await until_blamed(output, bad) == [NoAnswer] * STRIKES + [CutOff] * 3
        assert server.taken == []
        assert output._strikes == {}

    play(story)


def test_record_that_is_taken_at_last_has_a_clean_slate() -> None:
    """Answers were lost, and one was not."""

    async def story(output: LumberjackOutput, server: FakeLumberjack) -> None:
        suspect = again(of(1))
        for _ in range(2):
            server.faults.extend([loses_answer] * (STRIKES - 1))
            for _ in range(STRIKES - 1):
                assert type(await trouble(output.send(again(suspect)))) is NoAnswer
            assert await output.send(again(suspect)) == Outcome()

    play(story)


@pytest.mark.usefixtures("short_knock")
def test_record_taken_before_speaks_for_readers_that_know_no_empty_window() -> None:
    """It is sent once more, and taken, before the suspect breaks the connection. Of a frame sent as it lies it is the
    last."""

    async def story(output: LumberjackOutput, server: FakeLumberjack) -> None:
        large = named_batch_of([document(i, pad="x" * 1000) for i in range(100)], form=Form.LUMBERJACK)
        for good in (of(1), large):
            bad = of(1)
            assert await output.send(good) == Outcome()
            server.taken.clear()
            server.poisoned.update(bad.ids())
            assert await until_blamed(output, bad) == [NoAnswer] * STRIKES + [CutOff] * 3
            assert {event.record for event in server.taken} == set(good.ids()[-1:])

    play(story, knows_knocking=False)


@pytest.mark.usefixtures("short_knock")
@pytest.mark.parametrize("is_first", [True, False])
def test_single_record_is_not_blamed_for_a_reader_that_takes_nothing(is_first: bool) -> None:
    """A balancer with nobody behind it accepts and closes: it has not shown that it is at work."""

    async def story(output: LumberjackOutput, server: FakeLumberjack) -> None:
        if not is_first:
            assert await output.send(of(1)) == Outcome()
        suspect = again(of(1))
        for _ in range(STRIKES + 2):
            server.faults.append(hangs_up)
            assert type(await trouble(output.send(again(suspect)))) is NoAnswer

    play(story, knows_knocking=False)
