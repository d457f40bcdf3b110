"""``when``: an output gets the records its queries find, each once, and the others are counted."""

import asyncio
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.delivery.config import DeliveryConfig
from agent.delivery.contract import DeliveryBatch, Outcome, Output, Transactional
from agent.delivery.dead_letters.config import DeadLettersConfig
from agent.delivery.dead_letters.folder import LetterFolder
from agent.delivery.dead_letters.letter import DeadLetter
from agent.delivery.dead_letters.store import DeadLetters
from agent.delivery.loop import DeliveryLoop
from agent.delivery.replay import Replay
from agent.delivery.when import When
from agent.errors import ConfigError, NoAnswer, Refused, Retryable
from agent.form import Form
from agent.ledger import Ledger, make_ledger, read_ledger
from agent.outputs.local.config import LocalConfig
from agent.outputs.local.output import LocalOutput
from agent.query.language import parse
from agent.query.match import matches
from agent.queue.config import QueueConfig
from agent.queue.cursor import decode_cursor
from agent.queue.disk import RealDisk
from agent.queue.group import Entry
from agent.queue.queue import open_queue
from agent.queue.span import Span
from agent.queue.walk import Walk
from agent.record import Counts, Documents, Origin, RunId, record_id
from tests.delivery.delivering import QUICK
from tests.fakes.batches import STREAM, batch_of, lines_of
from tests.fakes.output import FakeOutput, Step, TakenThen
from tests.unit.local.stored import everything, record

EXAMPLE_SECS = 30.0
ERRORS = ["level:error"]
Levels = list[str]


class Way:
    """From an empty queue to an output, over as many runs as there are. ``accepted`` is every record's document by its
    id."""

    def __init__(self, folder: Path, queries: list[str]) -> None:
        self.folder = folder
        self.accepted: dict[str, bytes] = {}
        self._queries = queries
        self._batch = 0

    async def run(
        self, output: Output, batches: list[Levels], *, config: DeliveryConfig = QUICK, until: int | None = None
    ) -> Ledger:
        """Append batches of records with these levels, deliver until all have a fate or, with ``until``, be cancelled
        when no more than so many are queued. The ledger then."""
        run = RunId().text
        queue_config = QueueConfig(path=self.folder / "queue", min_free=0, sync_interval=0.001)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(asyncio.timeout(EXAMPLE_SECS))
            await stack.enter_async_context(output)
            queue = await stack.enter_async_context(open_queue(queue_config, run))
            stored = await output.load_cursor() if isinstance(output, Transactional) else None
            own_cursor = decode_cursor(stored) if stored is not None else None
            subscription = queue.subscribe(output.id, from_oldest=True, own_cursor=own_cursor)
            subscription.before_trim = getattr(output, "make_durable", None)
            store = DeadLetters(self.folder / "dead", DeadLettersConfig())
            loop = DeliveryLoop(output, queue, subscription, config, store, When(self._queries))
            running = asyncio.create_task(loop.run())
            for levels in batches:
                await queue.append(self._entry(run, levels), "block")
            while subscription.queued > (until or 0):
                assert not running.done(), running.result()
                await asyncio.sleep(0.001)  # the queue has no event for "empty"
            if until is None:
                loop.finish()
            else:
                running.cancel()
            await asyncio.wait([running])
            ledger = make_ledger(queue.counts, queue.total, queue.cursors)
            assert ledger.balances, ledger.problems
            return ledger

    def _entry(self, run: str, levels: Levels) -> Entry:
        self._batch += 1
        made = {
            record_id(run, self._batch, i): record(f"{run} {self._batch} {i}", log__level=level)
            for i, level in enumerate(levels)
        }
        self.accepted |= made
        form = Form(self._batch % len(Form))
        lines = lines_of(made.items(), form)
        documents = [Documents(STREAM, self._batch, 0, len(levels), lines, form)] if levels else []
        origin = Origin("in", "s", f"{run}/{self._batch}".encode())
        return Entry("in", documents, origin, Counts(len(levels), len(lines)))

    @property
    def wanted(self) -> dict[str, bytes]:
        """Filtering the list: what the output ought to have."""
        tests = [parse(query).tests for query in self._queries]
        return {r: d for r, d in self.accepted.items() if any(matches(each, d) for each in tests)}


trouble: st.SearchStrategy[Step] = st.sampled_from(
    [
        None,
        Retryable("503"),
        NoAnswer("timeout"),
        TakenThen(NoAnswer("reset")),
        Refused("400"),
        lambda batch: Outcome(retry=[0]),
    ]
)
levels = st.lists(st.sampled_from(["info", "warning", "error"]), min_size=1, max_size=8)
some_queries = st.lists(
    st.sampled_from(["level:error", "level>=warning", "-level:info", "level:critical", "level:info"]),
    min_size=1,
    max_size=2,
)


@settings(max_examples=40)
@given(st.lists(levels, max_size=8), some_queries, st.lists(trouble, max_size=5), st.booleans())
def test_routing_is_filtering_the_list(
    batches: list[Levels], queries: list[str], script: list[Step], ordered: bool
) -> None:
    """Whatever the output answers meanwhile, in the end it has what the queries find, and the sum says how many they
    left out."""
    with tempfile.TemporaryDirectory(prefix="modeltail-when-") as folder:
        way, output = Way(Path(folder), queries), FakeOutput(script, ordered=ordered)
        ledger = asyncio.run(way.run(output, batches, config=msgspec.structs.replace(QUICK, batch_records=6)))
        wanted = way.wanted
        assert set(output.taken) == set(wanted)
        fates = ledger.outputs["fake"].fates
        assert fates.get("filtered.when", 0) == len(way.accepted) - len(wanted)
        assert fates.get("delivered", 0) + fates.get("rescued", 0) == len(wanted)


def test_nothing_is_sent_when_nothing_is_wanted(tmp_path: Path) -> None:
    """Not even an empty request: there is nothing to say."""
    output = FakeOutput(ordered=True)
    ledger = asyncio.run(Way(tmp_path, ERRORS).run(output, [["info"] * 5, ["debug"] * 5]))
    assert output.requests == []
    assert ledger.outputs["fake"].fates == {"filtered.when": 10}


def test_what_is_wanted_as_a_whole_is_sent_as_it_lies() -> None:
    """The frames are not taken apart: an output whose wire is gzip can send their bytes."""
    batch = batch_of([record(log__level="error")] * 3, [record(log__level="error")])
    wanted = When(ERRORS).of(batch)
    assert wanted.batch is batch
    assert wanted.by_frame == [3, 1]


def test_part_of_a_batch_keeps_ids_and_documents_together() -> None:
    """Of each frame the records that are wanted, byte for byte, under their own ids."""
    good, bad = record("good", log__level="info"), record("bad", log__level="error")
    batch = batch_of([good, bad, good], [good, good], [bad, good, bad])
    batch.in_doubt = True
    wanted = When(ERRORS).of(batch)
    assert wanted.places == [1, 5, 7]
    assert wanted.by_frame == [1, 0, 2]
    assert wanted.batch.ids() == [batch.ids()[i] for i in (1, 5, 7)]
    assert wanted.batch.documents() == [bad] * 3
    assert wanted.batch.in_doubt


def test_refused_record_among_the_wanted_is_the_dead_letter(tmp_path: Path) -> None:
    """Indexes of what was sent are not those of the batch; the letter is the right record all the same."""
    output = FakeOutput([lambda batch: Outcome(rejected={1: "poisoned"})], rescues=False)
    way = Way(tmp_path, ERRORS)
    ledger = asyncio.run(way.run(output, [["info", "error", "info", "error", "error"]]))
    (line,) = LetterFolder(tmp_path / "dead").lines()
    letter = msgspec.json.decode(line, type=DeadLetter)
    assert letter.id == list(way.accepted)[3]
    assert bytes(letter.document) == way.accepted[letter.id]
    assert ledger.outputs["fake"].fates == {"delivered": 2, "dead_lettered": 1, "filtered.when": 2}


class Store(LocalOutput):
    """The embedded store, which forgets to answer as often as it is told to, having stored everything."""

    silent = 0

    async def send(self, batch: DeliveryBatch) -> Outcome:
        """Store, and answer or not."""
        outcome = await super().send(batch)
        if self.silent:
            self.silent -= 1
            raise NoAnswer("gone")
        return outcome


def store(folder: Path, silent: int = 0) -> Store:
    """The output ``local``."""
    made = Store(LocalConfig(id="it", path=folder / "store"))
    made.silent = silent
    return made


@settings(max_examples=15)
@given(st.lists(st.tuples(st.lists(levels, max_size=6), st.integers(0, 20), st.integers(0, 2)), max_size=4))
def test_store_has_each_wanted_record_once_however_often_the_agent_dies(
    runs: list[tuple[list[Levels], int, int]],
) -> None:
    """Its position is stored with the part of the batch it wants, and with an empty part too."""
    with tempfile.TemporaryDirectory(prefix="modeltail-when-") as name:
        folder = Path(name)
        way = Way(folder, ERRORS)
        config = msgspec.structs.replace(QUICK, batch_records=6)
        for batches, until, silent in runs:
            asyncio.run(way.run(store(folder, silent), batches, config=config, until=until))
        ledger = asyncio.run(way.run(store(folder), [["info", "error"], ["info"]], config=config))
        assert sorted(everything(folder / "store")) == sorted(way.wanted.values())
        fates = {"delivered": len(way.wanted), "filtered.when": len(way.accepted) - len(way.wanted)}
        assert ledger.outputs["it"].fates == fates
        assert read_ledger(folder / "queue").balances


def test_position_of_the_store_follows_records_it_does_not_want(tmp_path: Path) -> None:
    """Or their segments, which may be gone by the next start, would be taken for damaged then."""

    async def position() -> bytes | None:
        async with store(tmp_path) as output:
            return await output.load_cursor()

    asyncio.run(Way(tmp_path, ERRORS).run(store(tmp_path), [["error"], *([["info"] * 10] * 4)]))
    stored = asyncio.run(position())
    assert stored is not None
    assert decode_cursor(stored).counts == {"delivered": 1, "filtered.when": 40}


def test_replay_sends_what_is_wanted(tmp_path: Path) -> None:
    """``modeltail queue replay`` does not bring what the output never asked for."""
    way = Way(tmp_path, ERRORS)
    asyncio.run(way.run(FakeOutput(), [["info", "error"], ["info"]]))
    again = FakeOutput()

    async def replay() -> Replay:
        replay = Replay(again, QUICK, Span(), print, print, When(ERRORS))
        await replay.run(Walk(RealDisk(), tmp_path / "queue", durable=True), None, lambda: None)
        return replay

    assert asyncio.run(replay()).done.delivered == 1
    assert list(again.taken) == list(way.wanted)


def test_without_a_query_the_language_is_not_loaded() -> None:
    """An agent that sends everything everywhere pays nothing for it."""
    code = "import sys, agent.app, agent.delivery.loop; sys.exit('agent.query.language' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_words_without_full_text_search_are_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not when the first record comes: by then the agent would be running."""

    class WithoutFts5(sqlite3.Connection):
        def execute(self, sql: str, *parameters: object) -> sqlite3.Cursor:
            raise sqlite3.OperationalError("no such module: fts5")

    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path: real(path, factory=WithoutFts5))
    assert When(["level:error logger:a"])
    with pytest.raises(ConfigError, match=r"cannot look for words: .* no such module: fts5"):
        When(["level:error", "timeout"])
