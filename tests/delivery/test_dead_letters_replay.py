"""Replay and purge: every letter is delivered once, or still there, or counted as purged; whatever interrupts it."""

import asyncio
import contextlib
import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.delivery.config import DeliveryConfig
from agent.delivery.contract import DeliveryBatch, Outcome
from agent.delivery.dead_letters.folder import AtWork, Counts, DeadLetterCounts, LetterFolder, dead_letter_counts
from agent.delivery.dead_letters.letter import letters_in
from agent.delivery.dead_letters.replay import Replayed, purge, replay
from agent.delivery.dead_letters.selection import chosen_by
from agent.errors import Paused, Refused, Retryable, TooLarge
from tests.delivery.test_dead_letters import ids, kept, killed_at, letter, make_old, put
from tests.fakes.output import FakeOutput, Step

QUICK = DeliveryConfig(backoff_initial=0.0001, backoff_max=0.0005, batch_records=3)
ALL = chosen_by()


def _fill(folder: Path, letters: int = 10, per_file: int = 4) -> None:
    """Letters in several files."""
    for first in range(0, letters, per_file):
        put(folder, *(letter(n, size=600) for n in range(first, min(letters, first + per_file))), max_bytes=20_000)


def _replay(folder: Path, output: FakeOutput, *, chosen: object = ALL) -> Replayed:
    result = Replayed()
    asyncio.run(replay(LetterFolder(folder), output, QUICK, chosen, lambda said: None, result))  # type: ignore[arg-type]
    return result


def _refusing(*numbers: int) -> Step:
    def answer(batch: DeliveryBatch) -> Outcome:
        return Outcome(rejected={i: "still wrong" for i, record in enumerate(batch.ids()) if record in ids(*numbers)})

    return answer


def test_replay_delivers_the_documents_as_they_were_and_empties_the_store(tmp_path: Path) -> None:
    """Under their old ids, in order; counted as replayed, and no file of them is left."""
    _fill(tmp_path)
    output = FakeOutput()
    assert _replay(tmp_path, output).delivered == 10
    assert list(output.taken) == ids(*range(10))
    assert output.taken["run-000003"] == letter(3, size=600).original
    assert dead_letter_counts(tmp_path) == DeadLetterCounts(replayed=10)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["counts.json", "lock", "work.lock"]


def test_batches_are_bounded(tmp_path: Path) -> None:
    """However many letters there are, a request holds no more than configured."""
    _fill(tmp_path, letters=40, per_file=10)
    output = FakeOutput()
    _replay(tmp_path, output)
    assert max(output.requests) <= 3


def test_batch_is_of_one_stream(tmp_path: Path) -> None:
    """Letters of several data streams in one file go each to their own."""
    some = [letter(n) for n in range(6)]
    for n, one in enumerate(some):
        one.stream = f"s-{n % 2}"
    put(tmp_path, *some)
    seen: list[tuple[str, list[str]]] = []

    def look(batch: DeliveryBatch) -> Outcome:
        seen.append((batch.stream, batch.ids()))
        return Outcome()

    _replay(tmp_path, FakeOutput([look] * 9))
    assert sorted(seen) == [("s-0", ids(0, 2, 4)), ("s-1", ids(1, 3, 5))]


def test_what_is_refused_again_stays_with_its_new_reason(tmp_path: Path) -> None:
    """And with one attempt more; its time of being given up stays, so it grows no younger."""
    _fill(tmp_path)
    make_old(tmp_path)
    before = {found.id: found for found in letters_in(LetterFolder(tmp_path).lines())}
    result = _replay(tmp_path, FakeOutput([_refusing(2, 7)] * 9))
    assert (result.delivered, dict(result.refused)) == (8, {"still wrong": 2})
    for found in letters_in(LetterFolder(tmp_path).lines()):
        old = before[found.id]
        assert (found.reason, found.attempts) == ("still wrong", old.attempts + 1)
        assert (found.time, found.original, found.stream) == (old.time, old.original, old.stream)
    assert dead_letter_counts(tmp_path).kept == 2
    assert {path.stat().st_mtime for path in LetterFolder(tmp_path).files()} == {1732269600}


def test_only_the_chosen_are_sent(tmp_path: Path) -> None:
    """By id, by reason, by stream; the others stay as they are."""
    _fill(tmp_path)
    output = FakeOutput()
    _replay(tmp_path, output, chosen=chosen_by(ids=("run-000002", "run-000009", "nowhere")))
    _replay(tmp_path, output, chosen=chosen_by(reason="MAPPING", stream="other"))
    assert list(output.taken) == ids(2, 9)
    _replay(tmp_path, output, chosen=chosen_by(reason="MAPPING", stream="default"))
    assert sorted(output.taken) == ids(*range(10))


def test_replaying_again_is_harmless(tmp_path: Path) -> None:
    """Letters whose records arrived meanwhile leave the store as repeats."""
    _fill(tmp_path)
    output = FakeOutput()
    for n in range(10):
        output.taken[ids(n)[0]] = b"{}"
    result = _replay(tmp_path, output)
    assert (result.delivered, result.repeats) == (10, 10)
    assert kept(tmp_path) == []


@pytest.mark.parametrize("trouble", [Retryable("503"), Paused("401")])
def test_dead_output_costs_nothing(tmp_path: Path, trouble: Retryable | Paused) -> None:
    """What was delivered before it died is noted; the rest stays, unclaimed."""
    _fill(tmp_path)
    output = FakeOutput([None, *[trouble] * 100])
    with pytest.raises(type(trouble)):
        _replay(tmp_path, output)
    assert sorted([*output.taken, *kept(tmp_path)]) == ids(*range(10))
    assert {path.suffix for path in LetterFolder(tmp_path).files()} == {".ndjson"}
    assert dead_letter_counts(tmp_path).replayed == len(output.taken) == 3


def test_records_never_taken_end_the_replay(tmp_path: Path) -> None:
    """An output that keeps answering "not now" is left alone; nothing is lost."""
    _fill(tmp_path)
    result = _replay(tmp_path, FakeOutput([lambda batch: Outcome(retry=[0])] * 100))
    assert result.left > 0
    assert result.delivered + len(kept(tmp_path)) == 10


def test_interrupted_replay_notes_what_was_delivered(tmp_path: Path) -> None:
    """Ctrl-C between two batches: what has an answer leaves, the rest is there."""
    _fill(tmp_path)
    output = FakeOutput()

    async def main() -> None:
        running: list[asyncio.Task[None]] = []

        def interrupt(batch: DeliveryBatch) -> Outcome:
            running[0].cancel()
            return Outcome(retry=list(range(batch.count)))

        output._script = iter([None, interrupt])
        result = Replayed()
        running.append(
            asyncio.create_task(replay(LetterFolder(tmp_path), output, QUICK, ALL, lambda said: None, result))
        )
        with pytest.raises(asyncio.CancelledError):
            await running[0]

    asyncio.run(main())
    assert list(output.taken) == ids(0, 1, 2)
    assert kept(tmp_path) == ids(*range(3, 10))


class Noting(FakeOutput):
    """Notes in a file what it takes, so that it is known when its process is gone."""

    def __init__(self, delivered: Path) -> None:
        super().__init__()
        self._delivered = delivered

    async def send(self, batch: DeliveryBatch) -> Outcome:
        """Take all of it."""
        outcome = await super().send(batch)
        self._delivered.write_text("\n".join(self.taken))
        return outcome


def test_replay_killed_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    """Before every write, rename and delete it makes: what was not delivered is there, listed meanwhile, and the next
    replay delivers it; the counts are right in the end."""
    done, moment = False, 0
    while not done:
        moment += 1
        folder = tmp_path / f"moment-{moment}"
        _fill(folder, letters=6, per_file=4)
        delivered = tmp_path / f"delivered-{moment}"
        done = killed_at(moment, folder, partial(_replay, folder, Noting(delivered)))
        output = FakeOutput()
        output.taken = dict.fromkeys(delivered.read_text().split() if delivered.exists() else [], b"")
        assert {*output.taken, *kept(folder)} == set(ids(*range(6)))
        put(folder, letter(6))
        _replay(folder, output)
        assert sorted(output.taken) == ids(*range(7))
        assert dead_letter_counts(folder) == DeadLetterCounts(replayed=7)
    assert moment > 20


def test_left_over_claim_is_listed_expires_and_is_replayed(tmp_path: Path) -> None:
    """A file a dead command had claimed belongs to the store: the agent takes it back when it looks."""
    put(tmp_path, letter(1))
    (path,) = LetterFolder(tmp_path).files()
    path.rename(path.with_suffix(".replaying"))
    assert kept(tmp_path) == ids(1)
    put(tmp_path, letter(2))
    assert {path.suffix for path in LetterFolder(tmp_path).files()} == {".ndjson"}
    assert kept(tmp_path) == ids(1, 2)


def test_agent_puts_and_expires_beside_a_replay(tmp_path: Path) -> None:
    """What is being replayed is neither appended to nor expired; what comes meanwhile waits for the next replay."""
    _fill(tmp_path, letters=4)

    def meanwhile(batch: DeliveryBatch) -> Outcome:
        make_old(tmp_path)
        put(tmp_path, letter(100 + len(output.requests)))
        return Outcome()

    output = FakeOutput([meanwhile])
    assert _replay(tmp_path, output).delivered == 4
    assert list(output.taken) == ids(0, 1, 2, 3)
    assert dead_letter_counts(tmp_path).expired == 0
    assert kept(tmp_path) == ids(101)


def test_second_replay_says_that_another_is_at_work(tmp_path: Path) -> None:
    """And changes nothing."""
    _fill(tmp_path)

    async def main() -> None:
        errors: list[AtWork] = []

        async def second() -> None:
            try:
                await replay(LetterFolder(tmp_path), output, QUICK, ALL, lambda said: None, Replayed())
            except AtWork as error:
                errors.append(error)

        class Reentrant(FakeOutput):
            async def send(self, batch: DeliveryBatch) -> Outcome:
                await second()
                return await super().send(batch)

        output = Reentrant()
        await replay(LetterFolder(tmp_path), output, QUICK, ALL, lambda said: None, Replayed())
        assert "another command is at work" in str(errors[0])
        assert list(output.taken) == ids(*range(10))

    asyncio.run(main())


def test_unreadable_line_survives_a_replay(tmp_path: Path) -> None:
    """What is no letter cannot be sent, and is not thrown away for that."""
    put(tmp_path, letter(1), letter(2))
    (path,) = LetterFolder(tmp_path).files()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b'{"damaged":\n' + lines[1])
    assert _replay(tmp_path, FakeOutput()).delivered == 2
    (path,) = LetterFolder(tmp_path).files()
    assert path.read_bytes() == b'{"damaged":\n'


def test_both_files_are_kept_when_the_counts_were_lost_at_a_bad_moment(tmp_path: Path) -> None:
    """A claimed file never takes the place of another of its number."""
    put(tmp_path, letter(1))
    (path,) = LetterFolder(tmp_path).files()
    path.rename(path.with_suffix(".replaying"))
    path.write_bytes(path.with_suffix(".replaying").read_bytes().replace(b"run-000001", b"run-000002"))
    with LetterFolder(tmp_path).working():
        pass
    assert sorted(kept(tmp_path)) == ids(1, 2)


def test_purge_deletes_what_fits_and_counts_it(tmp_path: Path) -> None:
    """By id first, then everything; put = kept + purged throughout."""
    _fill(tmp_path)
    assert purge(LetterFolder(tmp_path), chosen_by(ids=("run-000002", "run-000009"))) == 2
    assert kept(tmp_path) == ids(0, 1, 3, 4, 5, 6, 7, 8)
    assert purge(LetterFolder(tmp_path), None) == 8
    assert dead_letter_counts(tmp_path) == DeadLetterCounts(purged=10)


_steps: st.SearchStrategy[Step] = st.one_of(
    st.none(),
    st.sampled_from([Retryable("503"), Paused("403"), TooLarge("413"), Refused("400")]),
    st.builds(
        lambda retry, rejected: (
            lambda batch: Outcome(
                retry=sorted({i % batch.count for i in retry} - {i % batch.count for i in rejected}),
                rejected={i % batch.count: "refused" for i in rejected},
            )
        ),
        st.lists(st.integers(0, 40), max_size=3),
        st.lists(st.integers(0, 40), max_size=3),
    ),
)


@settings(max_examples=40)
@given(script=st.lists(_steps, max_size=25))
def test_every_letter_is_delivered_or_there_under_any_script(
    tmp_path_factory: pytest.TempPathFactory, script: Iterable[Step]
) -> None:
    """Never both, never neither; the counts add up, and a replay with a well output ends it."""
    folder = tmp_path_factory.mktemp("letters")
    _fill(folder)
    output = FakeOutput(script)
    with contextlib.suppress(Retryable, Paused):
        _replay(folder, output)
    assert sorted([*output.taken, *kept(folder)]) == ids(*range(10))
    counts = dead_letter_counts(folder)
    assert (counts.kept, counts.replayed) == (10 - len(output.taken), len(output.taken))
    _replay(folder, FakeOutput())
    assert dead_letter_counts(folder) == DeadLetterCounts(replayed=10)


def test_counts_file_holds_nothing_of_files_that_are_gone(tmp_path: Path) -> None:
    """It does not grow with the years."""
    for _ in range(5):
        _fill(tmp_path)
        _replay(tmp_path, FakeOutput())
    counts = LetterFolder(tmp_path).counts()
    assert counts == Counts(replayed=50, last=counts.last)
    assert os.stat(tmp_path / "counts.json").st_size < 100
