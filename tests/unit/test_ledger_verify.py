"""What an output ought to have is exactly what it was through with, and what is missing of it is named."""

import asyncio
import json
import random
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import ledger_expected
from agent.errors import Paused, Retryable, SendError
from agent.ledger_command import verdict_text
from agent.ledger_expected import Expected, Span, UnknownOutput, old_segments
from agent.ledger_verify import ATTEMPTS, Missing, Verdict, Verification, dead_letter_ids
from agent.queue.config import QueueConfig
from agent.queue.cursor import PREFIX, SLOT_BYTES, Cursor, Range, encode_slot, encode_to_fit
from agent.queue.disk import RealDisk
from agent.queue.frame import Part, Stored
from agent.queue.queue import Queue, open_queue
from agent.queue.receipts import Dropped, Given, Receipt, Receipts, encode_block
from agent.queue.recovery import recover
from agent.record import record_id
from tests.queue.entries import RUN, entry, ids

EVER = Span(1, 1 << 42)


class Destination:
    """Has what it was given, and fails as it is told to."""

    def __init__(self, there: Sequence[str] = (), failures: Sequence[SendError] = ()) -> None:
        self.there = set(there)
        self.failures = list(failures)
        self.largest = 0

    async def missing(self, stream: str, ids: Sequence[str]) -> list[str]:
        if self.failures:
            raise self.failures.pop(0)
        self.largest = max(self.largest, len(ids))
        return [record for record in ids if record not in self.there]

    async def kept_since_ms(self, stream: str) -> int | None:
        return 1_700_000_000_000

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None


def _run(folder: Path, body: Callable[[Queue], Coroutine[Any, Any, Any]]) -> Any:
    config = QueueConfig(path=folder, min_free=0, sync_interval=0.001, segment_bytes=64 * 1024)

    async def main() -> Any:
        async with asyncio.timeout(30), open_queue(config, RUN) as queue:
            return await body(queue)

    return asyncio.run(main())


def _ids_of(stored: Stored) -> list[str]:
    parts = stored.frame.parts
    return [record_id(stored.frame.run, part.batch, part.first + i) for part in parts for i in range(part.count)]


def _expected(folder: Path, output: str, asked: Span = EVER) -> tuple[list[str], Expected]:
    expected = Expected(folder, output, asked)
    return [record for chunk in expected.chunks() for record in chunk.ids], expected


def _verify(folder: Path, output: str, destination: Destination) -> tuple[Verdict, list[Missing]]:
    named: list[Missing] = []

    async def at_once(secs: float) -> None:
        assert secs > 0

    verification = Verification(folder, output, EVER, name=named.append, tell=lambda _: None, sleep=at_once)
    return asyncio.run(verification.run(destination)), named


async def _fill(queue: Queue, batches: range) -> None:
    for batch in batches:
        await queue.append(entry(batch, pad=1, stream=f"test-{batch % 2}"), "block")


def _write_cursor(folder: Path, output: str, cursor: Cursor) -> None:
    slot = encode_slot(encode_to_fit(cursor), 1)
    (folder / f"{PREFIX}{output}").write_bytes(bytes(SLOT_BYTES) + slot.ljust(SLOT_BYTES, b"\0"))


def _write_receipts(folder: Path, *entries: Receipt | Dropped) -> None:
    (folder / "receipts-00000001").write_bytes(b"".join(map(encode_block, entries)))


def _receipt(number: int, made_at_ms: int, ended_at_ms: int, **changes: Any) -> Receipt:
    """A receipt of one frame of ten records."""
    frame = Given(number, number * 10 - 10, RUN, "test-default", [Part(number, 0, 10)])
    fields = {
        "segment": str(number), "first": number, "last": number, "begin_total": number * 10 - 10,
        "end_total": number * 10, "made_at_ms": made_at_ms, "ended_at_ms": ended_at_ms, "outputs": {"out": 0},
        "given": [frame],
    }  # fmt: skip
    return Receipt(**{**fields, **changes})


@settings(max_examples=30)
@given(
    steps=st.lists(st.sampled_from(["append", "finish", "finish some", "drop", "join", "trim"]), max_size=12),
    seed=st.integers(0, 2**32),
)
def test_expected_is_what_the_output_was_through_with(
    steps: list[str], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever was finished, dropped or deleted, in any order, and whoever joined when: held to a plain set. What was
    at the output when its segment was dropped is not asked for, whatever the output says of it later."""
    folder = tmp_path_factory.mktemp("queue")
    delivered: dict[str, list[str]] = {}
    in_flight: dict[str, set[tuple[int, int]]] = {}
    rng = random.Random(seed)

    async def body(queue: Queue) -> None:
        unfinished: dict[str, list[Stored]] = {}
        batch = 1

        async def take(name: str) -> None:
            unfinished[name] += await queue.subscriptions[name].read_now(10**8)

        for step in ["join", *steps]:
            if step == "join":
                name = f"out{len(delivered)}"
                queue.subscribe(name, from_oldest=rng.random() < 0.5)
                delivered[name], unfinished[name], in_flight[name] = [], [], set()
            elif step == "append":
                await _fill(queue, range(batch, batch + 300))
                batch += 300
            elif step == "drop":
                await queue._housekeeping.make_room(drop_oldest=True)
                for name, frames in unfinished.items():
                    through = queue.subscriptions[name].cursor.dropped_through
                    in_flight[name] |= {(s.frame.seq, s.frame.count) for s in frames if s.frame.seq <= through}
            elif step == "trim":
                await queue._housekeeping.tidy()
            else:
                for name in delivered:
                    await take(name)
                    chosen = [s for s in unfinished[name] if step == "finish" or rng.random() < 0.7]
                    for stored in chosen:
                        frame = stored.frame
                        done = Range(frame.seq, frame.seq, frame.count, frame.total + frame.count)
                        queue.subscriptions[name].finish(done, {"delivered": frame.count})
                        if (frame.seq, frame.count) not in in_flight[name]:
                            delivered[name] += _ids_of(stored)
                        unfinished[name].remove(stored)

    _run(folder, body)
    for name, records in delivered.items():
        found, expected = _expected(folder, name)
        assert sorted(found) == sorted(records)
        dropped = sum(n for fate, n in expected.cursor.counts.items() if fate.startswith("dropped"))
        dropped += sum(count for _, count in in_flight[name])
        assert (expected.unasked.dropped, expected.unasked.unreadable, expected.unasked.forgotten) == (dropped, 0, 0)


def test_missing_records_are_named_with_stream_and_time(tmp_path: Path) -> None:
    """Out of thousands, in chunks, the two that are not there, each with where and when it was put into the queue."""

    async def body(queue: Queue) -> None:
        subscription = queue.subscribe("out", from_oldest=True)
        await _fill(queue, range(1, 4001))
        while subscription.queued:
            for stored in await subscription.read_now(10**6):
                frame = stored.frame
                done = Range(frame.seq, frame.seq, frame.count, frame.total + frame.count)
                subscription.finish(done, {"delivered": frame.count})

    _run(tmp_path, body)
    everything = [record for batch in range(1, 4001) for record in ids(batch)]
    lost = [record_id(RUN, 5, 1), record_id(RUN, 3998, 2)]
    destination = Destination([record for record in everything if record not in lost])
    verdict, named = _verify(tmp_path, "out", destination)
    assert (verdict.expected, verdict.there) == (12_000, 11_998)
    assert verdict.missing == {"test-1": 1, "test-0": 1}
    assert {(m.id, m.stream, m.run, m.batch) for m in named} == {
        (lost[0], "test-1", RUN, 5), (lost[1], "test-0", RUN, 3998)
    }  # fmt: skip
    assert all(1_700_000_000_000 < m.since_ms <= m.until_ms for m in named)
    assert destination.largest == ledger_expected.CHUNK_RECORDS
    text = verdict_text(verdict, named)
    assert all(record in text for record in lost)
    assert text.endswith("2 RECORDS ARE MISSING.")


def test_segment_that_goes_during_the_look_is_found_in_its_receipt(tmp_path: Path) -> None:
    """The agent deletes segments while the ids are gathered: none is left out, none comes twice."""

    async def body(queue: Queue) -> None:
        subscription = queue.subscribe("out", from_oldest=True)
        await _fill(queue, range(1, 1201))
        done = Range(1, queue.segments[-1].last, queue.total, queue.total)
        subscription.finish(done, {"delivered": queue.total})

    _run(tmp_path, body)
    segments = old_segments(recover(RealDisk(), tmp_path))
    assert len(segments) > 1

    class VanishingDisk(RealDisk):
        looking = False

        def open(self, path: Path, *, write: bool = False) -> int:
            for old in segments[1:]:
                if self.looking and path.name == old.name.text and path.exists():
                    Receipts(RealDisk(), tmp_path).keep(old, {"out": 0})
                    path.unlink()
            return super().open(path, write=write)

    disk = VanishingDisk()
    expected = Expected(tmp_path, "out", EVER, disk)
    disk.looking = True
    found = [record for chunk in expected.chunks() for record in chunk.ids]
    assert sorted(found) == sorted(record for batch in range(1, 1201) for record in ids(batch))
    assert list(tmp_path.glob("*.seg")) == [tmp_path / segments[0].name.text]
    assert expected.unasked.forgotten == 0


@pytest.mark.parametrize(
    ("asked", "batches"),
    [
        (Span(1, 999), []),
        (Span(1, 1000), [1]),
        (Span(1500, 1600), [1]),
        (Span(2000, 2000), [1, 2]),
        (Span(2001, 2500), [2]),
        (Span(3001, 9999), [4]),
        (Span(1, 9999), [1, 2, 4]),
    ],
)
def test_range_takes_every_segment_that_lies_in_it(asked: Span, batches: list[int], tmp_path: Path) -> None:
    """For a moment is enough, and one whose beginning or end is not known counts as far as it may reach."""
    _write_cursor(tmp_path, "out", Cursor(low=9, low_total=40, counts={"delivered": 40}))
    _write_receipts(
        tmp_path,
        _receipt(1, 1000, 2000),
        _receipt(2, 2000, 3000),
        _receipt(3, 3000, 3000, outputs={"other": 0}),
        _receipt(4, 3001, 0),
    )
    found, _ = _expected(tmp_path, "out", asked)
    assert found == [record_id(RUN, batch, i) for batch in batches for i in range(10)]


def test_what_no_receipt_speaks_of_is_counted(tmp_path: Path) -> None:
    """From the totals on both sides: receipts that are gone, one that is not there, heads that could not be read."""
    _write_cursor(tmp_path, "out", Cursor(low=9, low_total=90, start_total=5, counts={"delivered": 85}))
    _write_receipts(tmp_path, _receipt(3, 3000, 4000), _receipt(5, 5000, 6000), _receipt(6, 6000, 7000, given=[]))
    _, expected = _expected(tmp_path, "out")
    assert expected.unasked.forgotten == 15 + 10
    assert expected.unasked.forgotten_until_ms == 5000
    assert expected.unasked.unreadable == 10
    _, later = _expected(tmp_path, "out", Span(5500, 9999))
    assert later.unasked.forgotten == 0


def test_segment_receipted_twice_counts_once(tmp_path: Path) -> None:
    """A deletion cut short by a crash is done again, and receipted again."""
    _write_cursor(tmp_path, "out", Cursor(low=9, low_total=10, counts={"delivered": 10}))
    _write_receipts(tmp_path, _receipt(1, 1000, 2000), _receipt(1, 1000, 2500))
    found, expected = _expected(tmp_path, "out")
    assert found == [record_id(RUN, 1, i) for i in range(10)]
    assert expected.unasked.forgotten == 0


def test_output_that_joined_late_is_owed_nothing_before(tmp_path: Path) -> None:
    """By the receipt's own word, also when its cursor has begun anew since."""
    _write_cursor(tmp_path, "out", Cursor(low=9, low_total=20, start_total=20))
    _write_receipts(
        tmp_path, _receipt(1, 1000, 2000, outputs={"out": 10}), _receipt(2, 2000, 3000, outputs={"out": 10})
    )
    found, expected = _expected(tmp_path, "out")
    assert found == [record_id(RUN, 2, i) for i in range(10)]
    assert (expected.unasked.forgotten, expected.unasked.unreadable) == (0, 0)


def test_dead_letters_are_not_missing(tmp_path: Path) -> None:
    """Those kept and those being replayed; a torn line hides none of the others."""
    _write_cursor(tmp_path, "out", Cursor(low=9, low_total=10, counts={"delivered": 8, "dead_lettered": 2}))
    _write_receipts(tmp_path, _receipt(1, 1000, 2000))
    folder = tmp_path / "dead-letters" / "out"
    folder.mkdir(parents=True)
    record = [record_id(RUN, 1, i) for i in range(10)]
    (folder / "00000001.ndjson").write_text('{"id":"torn\n' + json.dumps({"id": record[3]}) + '\n{"id"')
    (folder / "00000002.replaying").write_text(json.dumps({"id": record[4], "document": {}}) + "\n")
    assert dead_letter_ids(folder) == {record[3], record[4]}
    verdict, named = _verify(tmp_path, "out", Destination([r for r in record if r not in (record[3], record[4])]))
    assert (verdict.expected, verdict.there, verdict.dead_lettered, named) == (10, 8, 2, [])
    assert verdict.complete


def test_answers_that_say_not_now_are_asked_for_again(tmp_path: Path) -> None:
    """A few times; then, and at once where waiting does not help, nothing is said to be missing."""
    _write_cursor(tmp_path, "out", Cursor(low=9, low_total=10, counts={"delivered": 10}))
    _write_receipts(tmp_path, _receipt(1, 1000, 2000))
    record = [record_id(RUN, 1, i) for i in range(10)]
    busy = Destination(record, [Retryable("busy", retry_after_secs=3)] * (ATTEMPTS - 1))
    assert _verify(tmp_path, "out", busy)[0].complete
    for failures in ([Retryable("busy")] * ATTEMPTS, [Paused("not you")]):
        with pytest.raises(SendError):
            _verify(tmp_path, "out", Destination(record, failures))


@pytest.mark.parametrize("damaged", [False, True])
def test_output_without_a_cursor_cannot_be_verified(damaged: bool, tmp_path: Path) -> None:
    """It says which: not known, or not readable."""
    if damaged:
        (tmp_path / f"{PREFIX}out").write_bytes(b"garbage")
    with pytest.raises(UnknownOutput, match="not readable" if damaged else "knows no output 'out'"):
        Expected(tmp_path, "out", EVER)
