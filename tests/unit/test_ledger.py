"""The ledger adds up when it should, and says so when it does not."""

from agent.ledger import make_ledger
from agent.ledger_text import ledger_text
from agent.queue.cursor import Cursor
from agent.record import Counts


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


def test_output_that_joined_late_owes_only_what_came_after() -> None:
    """What was appended before an output joined is shown apart."""
    cursor = Cursor(low=4, low_total=90, start_total=60, counts={"delivered": 30})
    ledger = make_ledger(COUNTS, 100, {"late": cursor})
    assert ledger.balances
    assert ledger.outputs["late"].before == 60


def test_table_shows_every_line_and_its_verdict() -> None:
    """The table has each fate, the sum, and says at the end whether it balances."""
    text = ledger_text(make_ledger(COUNTS, 100, {"es": _cursor()}))
    rows = {
        line.rsplit(maxsplit=1)[0].strip(): line.rsplit(maxsplit=1)[1]
        for line in text.splitlines()
        if line.startswith("  ")
    }
    assert rows["file: accepted"] == "104"
    assert rows["dropped: empty"] == "-4"
    assert rows["put into the queue"] == "100"
    assert rows["dead-lettered"] == "3"
    assert rows["queued"] == "10"
    assert rows["sum (= put into the queue)"] == "100"
    assert text.endswith("The ledger balances.")
    assert "DOES NOT BALANCE" in ledger_text(make_ledger(COUNTS, 99, {"es": _cursor()}))
