"""The delivery loop: whatever an output answers, every record gets exactly one fate, and the sum says which."""

import asyncio
import math
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.delivery.config import DeliveryConfig
from agent.delivery.contract import DeliveryBatch, Outcome
from agent.delivery.dead_letters.config import DeadLettersConfig
from agent.delivery.dead_letters.folder import dead_letter_counts
from agent.delivery.dead_letters.letter import DeadLetter
from agent.delivery.dead_letters.store import DeadLetters
from agent.delivery.sender import HUGE_RECORD_BYTES, SILENT_SECS
from agent.errors import CutOff, NoAnswer, Paused, Refused, Retryable, Throttled, TooLarge
from agent.status.view import View
from tests.delivery.delivering import QUICK, deliver, delivering
from tests.fakes.output import FakeOutput, Step, TakenThen
from tests.queue.entries import RUN, ids

Answer = Callable[[DeliveryBatch], Outcome]

PATIENT = msgspec.structs.replace(QUICK, batch_age=3600.0)
"""Records wait an hour for company, but for the first."""


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
    line = deliver(tmp_path, output)
    assert sorted(output.taken) == sorted(_all_ids())
    assert line.fates == {"delivered": 40}


def test_only_the_failed_items_are_sent_again(tmp_path: Path) -> None:
    """Items answered with 429 are sent again; their neighbours are not."""
    output = FakeOutput([lambda batch: Outcome(retry=[1, 3])])
    line = deliver(tmp_path, output, batches=1)
    assert output.requests == [10, 2]
    assert line.fates == {"delivered": 10}
    assert line.noted == {"retried": 2}


def test_refused_record_is_rescued_under_its_own_id(tmp_path: Path) -> None:
    """A record refused for its content arrives in the form nothing refuses, and is counted as rescued."""
    output = FakeOutput([lambda batch: Outcome(rejected={4: "mapping"})])
    line = deliver(tmp_path, output, batches=1)
    assert output.taken[ids(1, 10)[4]] == b'{"rescued":"%s"}' % ids(1, 10)[4].encode()
    assert line.fates == {"delivered": 9, "rescued": 1}


@pytest.mark.parametrize("rescues", [True, False])
def test_record_refused_for_good_is_a_dead_letter_with_its_reason(tmp_path: Path, rescues: bool) -> None:
    """What even rescue cannot deliver is kept with the reason and the document, and does not hold up the rest."""
    refuse_rescue: Step = lambda batch: Outcome(rejected={0: "no rescue"})  # noqa: E731
    output = FakeOutput(
        [lambda batch: Outcome(rejected={2: "mapping conflict"}), refuse_rescue][: 2 if rescues else 1], rescues=rescues
    )
    line = deliver(tmp_path, output, batches=1)
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
    line = deliver(tmp_path, output, batches=1)
    assert line.fates == {"delivered": 9, "rescued": 1}


def test_item_that_is_never_taken_alone_is_split_out(tmp_path: Path) -> None:
    """A 429 that comes back for the same records with nothing else in flight does not hold up their neighbours for
    ever."""

    def too_many(batch: DeliveryBatch) -> Outcome:
        return Outcome(retry=list(range(batch.count))) if batch.count > 2 else Outcome()

    line = deliver(tmp_path, FakeOutput([too_many] * 200), batches=1)
    assert line.fates == {"delivered": 10}


def test_trouble_may_last_for_days(tmp_path: Path) -> None:
    """Items answered "not now" a thousand times over, one retry at a time, still arrive: no chain of calls grows, and
    no attempt is the last."""
    output = FakeOutput([lambda batch: Outcome(retry=[0])] * 1500)
    config = msgspec.structs.replace(QUICK, backoff_initial=1e-9, backoff_max=1e-9)
    line = deliver(tmp_path, output, batches=1, config=config)
    assert line.fates == {"delivered": 10}
    assert line.noted["retried"] == 1500


@pytest.mark.parametrize("count", [1, 2, 33, 1000])
def test_one_culprit_costs_a_bounded_number_of_requests(tmp_path: Path, count: int) -> None:
    """A request refused whole is halved to its culprit in at most two requests per halving, and the culprit rescued."""
    culprit = ids(1, count)[count // 3]

    def answer(batch: DeliveryBatch) -> Outcome:
        if culprit in batch.ids() and b"rescued" not in batch.documents()[0]:
            raise Refused("malformed")
        return Outcome()

    output = FakeOutput([answer] * 1000)
    line = deliver(tmp_path, output, batches=1, count=count)
    assert line.fates.get("delivered", 0) == count - 1
    assert line.fates["rescued"] == 1
    assert len(output.requests) <= 2 + 2 * math.ceil(math.log2(count))


def _wrong_request() -> Answer:
    """Refuses everything, rescued or not, until it has refused several rescued records; then takes what comes as it
    is."""
    refused = 0

    def answer(batch: DeliveryBatch) -> Outcome:
        nonlocal refused
        rescued = batch.documents()[0].startswith(b'{"rescued"')
        refused += rescued
        if rescued or refused < 3:
            raise Refused("unrecognized parameter")
        return Outcome()

    return answer


def test_a_request_refused_whatever_is_in_it_pauses_the_output(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """When even a record in the form nothing can refuse is refused, no record is to blame: nothing is dead-lettered or
    rescued, a person is told, and when the request is mended everything arrives as it is."""
    line = deliver(tmp_path, FakeOutput([_wrong_request()] * 1000))
    assert line.fates == {"delivered": 40}
    assert not list(tmp_path.glob("dead-letters/*"))
    assert any(record.levelname == "ERROR" for record in caplog.records)


@pytest.mark.parametrize(
    ("policy", "fates", "held"),
    [("dead_letter", {"delivered": 9, "dead_lettered": 1}, 1), ("truncate", {"delivered": 9, "rescued": 1}, 0)],
)
@pytest.mark.parametrize("by_item", [True, False])
def test_one_record_too_large_is_met_by_policy(
    tmp_path: Path, policy: Any, fates: dict[str, int], held: int, by_item: bool
) -> None:
    """A record that alone is too large is kept whole as a dead letter, or delivered in part, as configured; its
    neighbours are delivered."""
    culprit = ids(1, 10)[6]

    def answer(batch: DeliveryBatch) -> Outcome:
        if culprit not in batch.ids() or b"truncated" in batch.documents()[0]:
            return Outcome()
        if not by_item:
            raise TooLarge("413")
        return Outcome(too_large={batch.ids().index(culprit): "413"})

    config = msgspec.structs.replace(QUICK, too_large=policy)
    line = deliver(tmp_path, FakeOutput([answer] * 50), batches=1, config=config)
    assert line.fates == fates
    assert line.noted.get("truncated", 0) == 1 - held
    letters = b"".join(file.read_bytes() for file in tmp_path.glob("dead-letters/*"))
    assert letters.count(b'"document":{"n":"%s"' % culprit.encode()) == held


def _crowded(culprit: str, *, by_item: bool) -> Answer:
    """Says "too much just now" to this record for ever, whatever else is under way."""

    def answer(batch: DeliveryBatch) -> Outcome:
        if culprit not in batch.ids():
            return Outcome()
        if not by_item:
            raise Retryable("429", overloaded=True)
        return Outcome(retry=[batch.ids().index(culprit)], overloaded=True)

    return answer


@pytest.mark.parametrize("by_item", [True, False])
def test_a_huge_record_refused_for_ever_as_too_much_does_not_hold_up_the_rest(tmp_path: Path, by_item: bool) -> None:
    """A document that would fill a server's memory is answered 429 for ever, never 413. After enough of that with
    nothing else on its way it is taken to be too large."""
    culprit = ids(1, 3)[1]
    output = FakeOutput([_crowded(culprit, by_item=by_item)] * 200)
    config = msgspec.structs.replace(QUICK, batch_bytes=16 * 1024**2)
    line = deliver(tmp_path, output, batches=1, count=3, pad=HUGE_RECORD_BYTES, config=config)
    assert line.fates == {"delivered": 2, "dead_lettered": 1}
    (file,) = (tmp_path / "dead-letters").glob("*.ndjson")
    assert b"again and again" in file.read_bytes()


def test_a_small_record_is_never_given_up_for_overload(tmp_path: Path) -> None:
    """However often a record of ordinary size is answered "too much just now", it is sent again."""
    culprit = ids(1, 10)[1]
    output = FakeOutput([_crowded(culprit, by_item=False)] * 100)
    line = deliver(tmp_path, output, batches=1)
    assert line.fates == {"delivered": 10}


@pytest.mark.parametrize(
    ("count", "cuts", "fates"),
    [
        (1, 2, {"delivered": 1}),
        (1, 3, {"dead_lettered": 1}),
        (8, 1, {"delivered": 8}),
    ],
)
def test_a_cut_connection_splits_at_once_and_gives_up_a_record_only_the_third_time(
    tmp_path: Path, count: int, cuts: int, fates: dict[str, int]
) -> None:
    """A connection that breaks under a large batch splits it; under a single record, twice may be chance."""
    output = FakeOutput([CutOff("reset")] * cuts)
    line = deliver(tmp_path, output, batches=1, count=count)
    assert line.fates == fates
    if count > 1:
        assert output.requests == [8, 4, 4]


def test_throttling_is_no_hint(tmp_path: Path) -> None:
    """However often: the other end would say it if the batch were too large."""
    output = FakeOutput([Throttled("slow down")] * 12)
    line = deliver(tmp_path, output, batches=1, count=8)
    assert line.fates == {"delivered": 8}
    assert output.requests == [8] * 13


def test_hints_must_come_in_a_row(tmp_path: Path) -> None:
    """Two cut connections, another kind of failure, and two more are not three in a row."""
    cut = CutOff("reset")
    output = FakeOutput([cut, cut, Retryable("503"), cut, cut])
    line = deliver(tmp_path, output, batches=1, count=1)
    assert line.fates == {"delivered": 1}


@pytest.mark.parametrize("trouble", [NoAnswer("timeout"), CutOff("reset"), Paused("403")])
def test_what_was_taken_without_an_answer_is_sent_again_in_doubt(tmp_path: Path, trouble: Any) -> None:
    """A lost answer leaves no double and no unexpected repeat."""
    output = FakeOutput([TakenThen(trouble)] * 2)
    line = deliver(tmp_path, output)
    assert line.fates == {"delivered": 40}
    assert "unexpected_duplicates" not in line.noted


@pytest.mark.parametrize("in_doubt", [True, False])
def test_items_that_may_have_arrived_are_sent_again_in_doubt(tmp_path: Path, in_doubt: bool) -> None:
    """What the output says of its own doubt goes along with the records that are sent again, and only then."""
    seen: list[bool] = []

    def again(batch: DeliveryBatch) -> Outcome:
        seen.append(batch.in_doubt)
        return Outcome()

    deliver(tmp_path, FakeOutput([lambda batch: Outcome(retry=[1], in_doubt=in_doubt), again]), batches=1)
    assert seen == [in_doubt]


def test_dead_letters_are_written_when_all_other_records_have_a_fate(tmp_path: Path) -> None:
    """A batch that is given up half-way leaves no dead letter behind: it will be sent again whole, and a record must
    not be both a dead letter and delivered."""

    async def main() -> None:
        script: list[Step] = [lambda batch: Outcome(rejected={0: "no"}, retry=[1]), *[Retryable("down")] * 1000]
        output = FakeOutput(script, rescues=False)
        async with delivering(tmp_path, output, DeliveryConfig(backoff_initial=60, backoff_max=60)) as at_work:
            await at_work.append(1, 10)
            await at_work.until(lambda: output.requests)
            await at_work.finish()
            assert at_work.queued == 10
            assert not (tmp_path / "dead-letters").exists()

    asyncio.run(main())


def test_a_cancelled_burial_counts_when_it_was_done(tmp_path: Path) -> None:
    """Cancelling while dead letters are being written finishes the batch with them: letters and cursor agree."""

    class Slow(DeadLetters):
        """Writes only when it is told to."""

        def __init__(self) -> None:
            super().__init__(tmp_path / "d", DeadLettersConfig())
            self.begun, self.go_on = threading.Event(), threading.Event()

        def put(self, letters: Iterable[DeadLetter]) -> None:
            self.begun.set()
            self.go_on.wait(10)
            super().put(letters)

    async def main() -> None:
        store = Slow()
        output = FakeOutput([lambda batch: Outcome(rejected={0: "no"})], rescues=False)
        async with delivering(tmp_path, output, store=store) as at_work:
            await at_work.append(1, 10)
            await asyncio.to_thread(store.begun.wait, 10)
            at_work.running.cancel()
            asyncio.get_running_loop().call_soon(store.go_on.set)
            await asyncio.wait([at_work.running])
            assert at_work.running.cancelled()
            assert at_work.loop.subscription.cursor.counts == {"delivered": 9, "dead_lettered": 1}
            assert dead_letter_counts(tmp_path / "d").kept == 1

    asyncio.run(main())


def test_a_retrying_batch_keeps_its_slot(tmp_path: Path) -> None:
    """While every request fails no more batches are taken from the queue than there are slots: retrying costs no
    memory."""
    in_flight: list[int] = []

    async def main() -> None:
        config = msgspec.structs.replace(QUICK, batch_records=1, max_concurrency=3)
        output = FakeOutput([*[None] * 10, *[Retryable("503")] * 100])
        async with delivering(tmp_path, output, config) as at_work:
            for batch in range(1, 60):
                await at_work.append(batch, 1)
            while at_work.queued:
                in_flight.append(at_work.loop.limit.in_flight)
                await asyncio.sleep(0.0005)
            await at_work.finish()

    asyncio.run(main())
    assert max(in_flight) <= 3


def test_waiting_for_company_is_said_and_ends_with_the_stop(tmp_path: Path) -> None:
    """A long ``batch_age`` is no trouble and nobody is stuck; when asked to stop, what waited goes at once."""

    async def main() -> None:
        async with delivering(tmp_path, FakeOutput(), PATIENT) as at_work:
            await at_work.append(1, 1)
            await at_work.until_empty()
            await at_work.append(2, 1)
            await at_work.until(lambda: at_work.loop.state.gathering)
            assert at_work.queued == 1
            await at_work.finish()
            assert at_work.queued == 0

    asyncio.run(main())


def test_other_end_that_says_nothing_is_trouble_before_its_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a request waits for is not ours to mend: it is shown, and the agent is not restarted for it. An answer ends
    it."""
    monkeypatch.setattr("agent.status.view.STUCK_SECS", 1e-9)
    answer = asyncio.Event()

    class Silent(FakeOutput):
        async def send(self, batch: DeliveryBatch) -> Outcome:
            await answer.wait()
            return await super().send(batch)

    async def main() -> None:
        async with delivering(tmp_path, Silent()) as at_work:
            state, view = at_work.loop.state, View(at_work.queue, {"fake": at_work.loop}, RUN)
            await at_work.append(1, 1)
            await at_work.until(lambda: state.on_their_way)
            (began,) = state.on_their_way.values()
            assert state.trouble_at(began + SILENT_SECS - 1) is None
            assert state.trouble_at(began + SILENT_SECS + 1) == "no answer for 11 s"
            view.health()
            assert view.health().problems
            monkeypatch.setattr("agent.delivery.sender.SILENT_SECS", 0.0)
            assert not view.health().problems
            answer.set()
            await at_work.finish()
            assert state.trouble_at(began + 3600) is None

    asyncio.run(main())


def test_hurry_is_for_what_is_there(tmp_path: Path) -> None:
    """What is there goes at once; what comes later waits again, as ``batch_age`` says."""
    waiting: list[int] = []

    async def main() -> None:
        async with delivering(tmp_path, FakeOutput(), PATIENT) as at_work:
            for batch in (1, 2, 3):
                await at_work.append(batch, 1)
                await at_work.until(lambda: not at_work.queued or at_work.loop.state.gathering)
                waiting.append(at_work.queued)
                at_work.loop.hurry()
                await at_work.until_empty()
            await at_work.finish()

    asyncio.run(main())
    assert waiting == [0, 1, 1]


def _mixed(retry: list[int], rejected: list[int], too_large: list[int]) -> Answer:
    def answer(batch: DeliveryBatch) -> Outcome:
        bad = {i % batch.count: "refused" for i in rejected}
        large = {i % batch.count: "too large" for i in too_large if i % batch.count not in bad}
        return Outcome(
            retry=sorted({i % batch.count for i in retry} - set(bad) - set(large)), rejected=bad, too_large=large
        )

    return answer


steps: st.SearchStrategy[Step] = st.one_of(
    st.none(),
    st.sampled_from([Retryable("503"), NoAnswer("reset"), Paused("403"), TooLarge("413"), Refused("400")]),
    st.sampled_from([CutOff("cut"), Retryable("429", overloaded=True), TakenThen(NoAnswer("lost"))]),
    st.builds(_mixed, *[st.lists(st.integers(0, 40), max_size=most) for most in (5, 3, 2)]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=st.lists(steps, max_size=12), rescues=st.booleans(), policy=st.sampled_from(["dead_letter", "truncate"]))
def test_every_record_has_one_fate_under_any_script(
    tmp_path_factory: pytest.TempPathFactory,
    script: Iterable[Step],
    rescues: bool,
    policy: Literal["dead_letter", "truncate"],
) -> None:
    """Delivered + rescued + dead-lettered is what was accepted, and the output holds exactly the delivered and rescued
    ones."""
    output = FakeOutput(script, rescues=rescues)
    line = deliver(tmp_path_factory.mktemp("q"), output, config=msgspec.structs.replace(QUICK, too_large=policy))
    assert sum(line.fates.values()) == 40
    assert len(output.taken) == line.fates.get("delivered", 0) + line.fates.get("rescued", 0)
    assert set(output.taken) <= set(_all_ids())
