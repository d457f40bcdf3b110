"""The ledger as a table for people: sums that can be followed line by line, each ending in what it must end in."""

from agent.ledger import Ledger, OutputLine
from agent.queue.state import UNKNOWN

WIDTH = 44
NOTES = {"damaged_bytes": "bytes damaged, and set aside"}
"""Notes that do not count records of the sum."""


def ledger_text(ledger: Ledger) -> str:
    """The whole ledger; the last lines say whether it balances, and if not, where."""
    lines = ["INPUTS"]
    for name, line in ledger.inputs.items():
        if name == UNKNOWN:
            lines.append(_row("input unknown (its counts were damaged)", line.accepted))
            continue
        lines.append(_row(f"{name}: accepted", line.accepted))
        lines += [_row(f"  dropped: {reason}", -n) for reason, n in sorted(line.dropped.items())]
        lines += [_row(f"  (marked: {mark})", n) for mark, n in sorted(line.noted.items())]
    kept = sum(line.queued_for_delivery for line in ledger.inputs.values())
    agrees = "=" if kept == ledger.appended else "≠"
    lines += [_row(f"accepted, less dropped ({agrees} put into the queue)", kept)]
    lines += [_row("put into the queue", ledger.appended), ""]
    for name, out in ledger.outputs.items():
        lines += _output(name, out, ledger.appended)
    if not ledger.outputs:
        lines += ["No output has read from this queue yet.", ""]
    if ledger.damage:
        lines += ["DAMAGE", *(f"  {sentence}" for sentence in ledger.damage), ""]
    if ledger.balances:
        lines.append("The ledger balances.")
    else:
        lines += ["THE LEDGER DOES NOT BALANCE. Please report this.", *(f"  {why}" for why in ledger.problems)]
    return "\n".join(lines)


def _output(name: str, out: OutputLine, appended: int) -> list[str]:
    lines = [f"OUTPUT {name}"]
    if out.before:
        lines.append(_row("before it joined", out.before))
    lines += [_row(fate.replace("_", "-").replace(".", ": "), n) for fate, n in sorted(out.fates.items())]
    lines.append(_row("queued", out.queued))
    agrees = "=" if out.sum == appended else "≠"
    lines.append(_row(f"sum ({agrees} put into the queue)", out.sum))
    for what, n in sorted(out.noted.items()):
        lines.append(_row(f"  ({NOTES.get(what, 'of these ' + what.replace('_', ' '))})", n))
    letters = out.dead_letters
    for what, n in (
        ("kept", letters.kept), ("replayed", letters.replayed), ("purged", letters.purged), ("expired", letters.expired)
    ):  # fmt: skip
        if n or (what == "kept" and out.fates.get("dead_lettered")):
            lines.append(_row(f"  (dead letters: {what})", n))
    return [*lines, ""]


def _row(label: str, n: int) -> str:
    return f"  {label:<{WIDTH}}{n:>16,}"
