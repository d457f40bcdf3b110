"""The ledger adds up when it should, and says so when it does not."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.delivery.dead_letters.config import DeadLettersConfig
from agent.delivery.dead_letters.folder import DeadLetterCounts
from agent.delivery.dead_letters.letter import dead_letter
from agent.delivery.dead_letters.store import DeadLetters
from agent.ledger import InputLine, Ledger, OutputLine, make_ledger, read_ledger
from agent.ledger_text import ledger_text
from agent.queue.config import QueueConfig
from agent.queue.cursor import PREFIX, SLOT_BYTES, Cursor, Range, encode_cursor, encode_slot, read_cursor
from agent.queue.disk import RealDisk
from agent.queue.queue import open_queue
from agent.queue.segment import Name, encode_header, read_header
from agent.queue.state import UNKNOWN
from agent.record import Counts
from agent.status.metrics import ledger_metrics
from tests.queue.entries import RUN, entry, ids


def _cursor(**changes: object) -> Cursor:
    cursor = Cursor(low=4, low_total=90, counts={"delivered": 80, "rescued": 7, "dead_lettered": 3})
    for name, value in changes.items():
        setattr(cursor, name, value)
    return cursor


COUNTS = {"file": Counts(104, 5000, {"empty": 4}, {"truncated": 1})}


def test_sum_that_agrees_balances() -> None:
    """Accepted less dropped is what was appended; fates and queue are what was appended too."""
    ledger = make_ledger(COUNTS, 100, {"es": _cursor()})
    assert ledger.balances
    assert ledger.outputs["es"].queued == 10


def test_each_equation_can_fail() -> None:
    """A record too many or too few on any side is noticed: nothing in the ledger is a difference made to fit."""
    assert not make_ledger(COUNTS, 101, {"es": _cursor(low_total=91)}).balances
    assert not make_ledger(COUNTS, 100, {"es": _cursor(counts={"delivered": 89})}).balances
    assert not make_ledger(COUNTS, 100, {"es": _cursor(low_total=89)}).balances
    assert not make_ledger({"file": Counts(103, 0, {"empty": 4}, {})}, 100, {"es": _cursor()}).balances
    assert not make_ledger(COUNTS, 100, {"es": _cursor(low_total=101, counts={"delivered": 101})}).balances
    assert not make_ledger(COUNTS, 100, {"es": _cursor()}, {"es": DeadLetterCounts(kept=2)}).balances
    assert not make_ledger(COUNTS, 100, {"es": _cursor()}, {}).balances


@pytest.mark.parametrize(
    "letters", [DeadLetterCounts(kept=3), DeadLetterCounts(1, 1, 1), DeadLetterCounts(0, 1, 0, 2), DeadLetterCounts(9)]
)
def test_dead_letters_may_have_left_their_store_counted(letters: DeadLetterCounts) -> None:
    """Kept, replayed, purged or expired; more than the cursor counts are those of a process that was killed."""
    ledger = make_ledger(COUNTS, 100, {"es": _cursor()}, {"es": letters})
    assert ledger.balances
    assert ledger.outputs["es"].dead_letters == letters


def test_records_of_an_unknown_input_have_a_line_of_their_own() -> None:
    """They count, and are not passed for an input's."""
    ledger = make_ledger({**COUNTS, UNKNOWN: Counts(7)}, 107, {})
    assert ledger.balances
    assert _rows(ledger_text(ledger))["input unknown (its counts were damaged)"] == 7
    assert "?" not in ledger_text(ledger)


def test_output_that_joined_late_owes_only_what_came_after() -> None:
    """What was appended before an output joined is shown apart."""
    cursor = Cursor(low=4, low_total=90, start_total=60, counts={"delivered": 30})
    ledger = make_ledger(COUNTS, 100, {"late": cursor})
    assert ledger.balances
    assert ledger.outputs["late"].before == 60


def _rows(text: str) -> dict[str, int]:
    """The last row of each label."""
    rows = [line.rsplit(maxsplit=1) for line in text.splitlines() if line.startswith("  ") and line[-1].isdigit()]
    return {label.strip(): int(number.replace(",", "")) for label, number in rows}


def test_table_shows_every_line_and_its_verdict() -> None:
    """The table has each fate, the sums, the dead letters, and says at the end whether it balances, and why not."""
    text = ledger_text(make_ledger(COUNTS, 100, {"es": _cursor()}, {"es": DeadLetterCounts(2, 1)}))
    rows = _rows(text)
    assert rows["file: accepted"] == 104
    assert rows["dropped: empty"] == -4
    assert rows["accepted, less dropped (= put into the queue)"] == 100
    assert rows["put into the queue"] == 100
    assert rows["dead-lettered"] == 3
    assert rows["(dead letters: kept)"] == 2
    assert rows["(dead letters: replayed)"] == 1
    assert rows["queued"] == 10
    assert rows["sum (= put into the queue)"] == 100
    assert text.endswith("The ledger balances.")
    wrong = ledger_text(make_ledger(COUNTS, 99, {"es": _cursor()}))
    assert "DOES NOT BALANCE" in wrong
    assert wrong.endswith("the inputs accepted and did not drop 100 records, but 99 were put into the queue")


_names = st.sampled_from(["a", "b.c", "d-e"])
_numbers = st.dictionaries(
    st.sampled_from(["delivered", "rescued", "dead_lettered", "dropped.max_lag"]), st.integers(0, 2**53)
)
_some = st.integers(0, 2**53)  # what a metric can hold to the unit


@given(
    inputs=st.dictionaries(
        _names, st.builds(InputLine, _some, _some, st.just({"empty": 3}), st.just({"cut": 2}), _some)
    ),
    outputs=st.dictionaries(
        _names,
        st.builds(
            OutputLine, _some, _numbers, _some, st.just({"retried": 5}), st.booleans(),
            st.builds(DeadLetterCounts, _some, _some, _some, _some, _some),
        ),
    ),
    appended=_some,
)  # fmt: skip
def test_table_json_and_metrics_have_the_same_numbers(
    inputs: dict[str, InputLine], outputs: dict[str, OutputLine], appended: int
) -> None:
    """Every number of the ledger is in each of the three, and is the same there."""
    ledger = Ledger(inputs, appended, outputs, balances=True)
    assert msgspec.json.decode(msgspec.json.encode(ledger), type=Ledger) == ledger
    samples = {
        (sample.name.removeprefix("modeltail_"), *sample.labels.values()): sample.value
        for metric in ledger_metrics(ledger)
        for sample in metric.samples
    }
    expected: dict[tuple[str, ...], float] = {("queue_records_total",): appended, ("ledger_balances",): 1}
    for name, line in inputs.items():
        expected["input_records_total", name] = line.accepted
        expected["input_bytes_total", name] = line.bytes
        expected |= {("input_dropped_records_total", name, what): n for what, n in line.dropped.items()}
        expected |= {("input_noted_records_total", name, what): n for what, n in line.noted.items()}
    for name, out in outputs.items():
        letters = out.dead_letters
        expected["output_earlier_records", name] = out.before
        expected["output_queued_records", name] = out.queued
        expected["dead_letters_bytes", name] = letters.bytes
        expected |= {("output_records_total", name, fate): n for fate, n in out.fates.items()}
        expected |= {("output_noted_records_total", name, what): n for what, n in out.noted.items()}
        expected["dead_letters", name, "kept"] = letters.kept
        expected["dead_letters", name, "replayed"] = letters.replayed
        expected["dead_letters", name, "purged"] = letters.purged
        expected["dead_letters", name, "expired"] = letters.expired
    assert samples == {key: float(value) for key, value in expected.items()}
    for name, out in outputs.items():
        rows = _rows(ledger_text(Ledger(inputs, appended, {name: out}, balances=True)).split("OUTPUT ")[1])
        shown = {fate.replace("_", "-").replace(".", ": "): n for fate, n in out.fates.items()}
        assert shown.items() <= rows.items()
        assert rows["queued"] == out.queued
        assert rows.get("(dead letters: kept)", 0) == out.dead_letters.kept


# Real files.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A queue that balances: 30 records in, 24 delivered, 3 dead letters, 3 queued."""
    (tmp_path / "queue").mkdir()
    config = QueueConfig(path=tmp_path / "queue", min_free=0, sync_interval=0.001)

    async def fill() -> None:
        async with open_queue(config, RUN) as queue:
            subscription = queue.subscribe("es", from_oldest=True)
            for batch in range(1, 11):
                await queue.append(entry(batch), "block")
            await queue.sync()  # what is not synced is not visible yet
            letters = DeadLetters(config.path / "dead-letters" / "es", DeadLettersConfig())
            letters.put([dead_letter("es", record, "test-default", "no", 1, b"{}") for record in ids(9)])
            seq = queue.visible_seq
            subscription.finish(Range(1, seq - 2, 24, 24), {"delivered": 24})
            subscription.finish(Range(seq - 1, seq - 1, 3, 27), {"dead_lettered": 3})

    asyncio.run(fill())
    return config.path


def _change_cursor(folder: Path, **changes: object) -> None:
    path = folder / f"{PREFIX}es"
    handle = RealDisk().open(path)
    found = read_cursor(RealDisk(), handle)
    RealDisk().close(handle)
    assert found is not None
    slot = encode_slot(encode_cursor(msgspec.structs.replace(found[0], **changes)), found[1])
    path.write_bytes(slot.ljust(SLOT_BYTES, b"\0") + bytes(SLOT_BYTES))


def _accept_one_more(folder: Path) -> None:
    """A newer segment whose header says that an input accepted a record nobody put into the queue."""
    (newest,) = folder.glob("*.seg")
    handle = RealDisk().open(newest)
    header, _ = read_header(RealDisk(), handle)
    RealDisk().close(handle)
    name = Name(11, 0, b"sync....")
    header = msgspec.structs.replace(header, mark=name.mark, base=11, total=30, counts={"in": Counts(31)})
    (folder / name.text).write_bytes(encode_header(header))


def _lose_letters(folder: Path) -> None:
    (letters,) = (folder / "dead-letters" / "es").glob("*.ndjson")
    letters.unlink()


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (
            lambda folder: _change_cursor(folder, counts={"delivered": 23, "dead_lettered": 3}),
            "its counts add up to 26",
        ),
        (lambda folder: _change_cursor(folder, low_total=28), "its position says 28"),
        (lambda folder: _change_cursor(folder, start_total=1), "its counts add up to 28"),
        (_lose_letters, "3 records were dead-lettered, but the store only knows of 0"),
        (_accept_one_more, "did not drop 31 records, but 30 were put into the queue"),
    ],
)
def test_tampering_is_seen_and_named(folder: Path, tamper: Callable[[Path], None], said: str) -> None:
    """Whatever number is changed on disk: the command ends with 2 and says which sum is wrong."""
    command = [sys.executable, "-m", "agent", "ledger", "--queue", str(folder)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    tamper(folder)
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 2
    assert said in told.stdout


def test_damaged_folder_is_read_and_its_damage_told(folder: Path) -> None:
    """Nothing in it makes the ledger fail, and what could not be read is named."""
    assert read_ledger(folder).damage == []
    (segment,) = folder.glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[30] ^= 1
    segment.write_bytes(data)
    (folder / f"{PREFIX}other").write_bytes(b"garbage")
    (folder / "receipts-00000001").write_bytes(b"garbage")
    ledger = read_ledger(folder)
    assert any("header checksum does not hold" in sentence for sentence in ledger.damage)
    assert any("the cursor of other is not readable" in sentence for sentence in ledger.damage)
    assert ledger.balances
    assert "DAMAGE" in ledger_text(ledger)
