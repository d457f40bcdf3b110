"""The dead letters of an output at a glance, and one of them in full, for people."""

import re
from collections import Counter
from typing import Final

import msgspec

from agent.delivery.dead_letters.folder import CLAIMED, DeadLetterCounts, LetterFolder, dead_letter_counts
from agent.delivery.dead_letters.letter import DeadLetter, letters_in
from agent.delivery.dead_letters.selection import Chosen, kind_of

_MOST_KINDS: Final = 1000
_OTHERS: Final = "(other reasons)"
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class Summary(msgspec.Struct):
    """``oldest`` and ``newest`` are the times of the first and the last letter; ``reasons`` the letters of each kind of
    reason, most first; ``being_replayed`` says that a command has some of them in hand, or had when it died."""

    counts: DeadLetterCounts
    oldest: str | None
    newest: str | None
    reasons: dict[str, int]
    being_replayed: bool


def summarise(folder: LetterFolder) -> Summary:
    """Reads every letter, one at a time. Changes nothing."""
    kinds: Counter[str] = Counter()
    oldest = newest = None
    for letter in letters_in(folder.lines()):
        oldest = min(oldest or letter.time, letter.time)
        newest = max(newest or letter.time, letter.time)
        kind = kind_of(letter.reason)
        kinds[kind if kind in kinds or len(kinds) < _MOST_KINDS else _OTHERS] += 1
    claimed = any(path.suffix == CLAIMED for path in folder.files())
    return Summary(dead_letter_counts(folder.path), oldest, newest, dict(kinds.most_common()), claimed)


def reasons_of(folder: LetterFolder, chosen: Chosen) -> Counter[str]:
    """How many of the chosen letters have which kind of reason."""
    return Counter(kind_of(letter.reason) for letter in letters_in(folder.lines()) if chosen(letter))


def summary_text(output: str, summary: Summary, top: int) -> str:
    """A few lines, with the ``top`` most frequent reasons."""
    counts = summary.counts
    lines = [f"OUTPUT {output}: {counts.kept:,} dead letters, {counts.bytes:,} bytes"]
    if summary.oldest is not None:
        lines.append(f"  given up from {summary.oldest} to {summary.newest}")
    if summary.being_replayed:
        lines.append("  Some are in the hands of a command, or of one that died; they are counted here.")
    lines += reason_lines(summary.reasons, top)
    lines.append(f"  gone: {counts.replayed:,} replayed, {counts.purged:,} purged, {counts.expired:,} expired")
    return "\n".join(lines)


def reason_lines(reasons: dict[str, int], top: int) -> list[str]:
    """The most frequent reasons, one a line."""
    lines = [f"  {n:>9,}  {printable(kind)}" for kind, n in list(reasons.items())[:top]]
    more = list(reasons.values())[top:]
    if more:
        lines.append(f"  {sum(more):>9,}  of {len(more):,} other reasons")
    return lines


def letter_text(letter: DeadLetter) -> str:
    """One letter in full. What it holds is never obeyed by the terminal."""
    document = letter.original
    try:
        pretty = msgspec.json.format(document, indent=2)
    except (msgspec.DecodeError, RecursionError):
        pretty = document
    shown = pretty.decode("utf-8", "replace").replace("\n", "\n    ")
    return printable(
        f"{letter.id}\n  output    {letter.output}\n  given up  {letter.time}, attempt {letter.attempts}\n"
        f"  stream    {letter.stream}\n  reason    {letter.reason}\n  document\n    {shown}\n"
    )


def printable(text: str) -> str:
    """Text that moves no cursor: control characters as escapes, but for line ends and tabs."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
