"""The ledger as a table for people: one sum per output, each ending in what it must end in."""

from agent.ledger import Ledger, OutputLine

WIDTH = 36


def ledger_text(ledger: Ledger) -> str:
    """The whole ledger; the last line says whether it balances."""
    lines = ["INPUTS"]
    for name, line in ledger.inputs.items():
        lines.append(_row(f"{name}: accepted", line.accepted))
        lines += [_row(f"  dropped: {reason}", -n) for reason, n in sorted(line.dropped.items())]
        lines += [_row(f"  (marked: {mark})", n) for mark, n in sorted(line.noted.items())]
    lines += [_row("put into the queue", ledger.appended), ""]
    for name, out in ledger.outputs.items():
        lines += _output(name, out, ledger.appended)
    if not ledger.outputs:
        lines += ["No output has read from this queue yet.", ""]
    lines.append("The ledger balances." if ledger.balances else "THE LEDGER DOES NOT BALANCE. Please report this.")
    return "\n".join(lines)


def _output(name: str, out: OutputLine, appended: int) -> list[str]:
    lines = [f"OUTPUT {name}"]
    if out.before:
        lines.append(_row("before it joined", out.before))
    lines += [_row(fate.replace("_", "-").replace(".", ": "), n) for fate, n in sorted(out.fates.items())]
    lines.append(_row("queued", out.queued))
    total = out.before + sum(out.fates.values()) + out.queued
    agrees = "=" if total == appended else "≠"
    lines.append(_row(f"sum ({agrees} put into the queue)", total))
    lines += [_row(f"  (of these {what.replace('_', ' ')})", n) for what, n in sorted(out.noted.items())]
    return [*lines, ""]


def _row(label: str, n: int) -> str:
    return f"  {label:<{WIDTH}}{n:>16,}"
