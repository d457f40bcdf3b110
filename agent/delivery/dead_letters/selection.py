"""Which letters a person means, and what reasons have in common. Pure."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Final

from agent.delivery.dead_letters.letter import DeadLetter

Chosen = Callable[[DeadLetter], bool]

_QUOTED: Final = re.compile(r"(?<!\w)'[^']*(?:'|$)|(?<!\w)\"[^\"]*(?:\"|$)")
_LONG_HEX: Final = re.compile(r"\b[0-9a-f]{12,}(?:-[0-9a-f]+)*\b")
_DIGITS: Final = re.compile(r"\d+")
_KIND_CHARS: Final = 300


def chosen_by(
    *, ids: tuple[str, ...] = (), reason: str | None = None, stream: str | None = None, before: float | None = None
) -> Chosen:
    """Letters with one of these ids (or any), whose reason and stream contain these texts in any case, and that were
    given up before this time (seconds since the epoch)."""
    wanted, in_reason, in_stream = frozenset(ids), (reason or "").casefold(), (stream or "").casefold()

    def chosen(letter: DeadLetter) -> bool:
        return (
            (not wanted or letter.id in wanted)
            and in_reason in letter.reason.casefold()
            and in_stream in letter.stream.casefold()
            and (before is None or given_up_at(letter) < before)
        )

    return chosen


def given_up_at(letter: DeadLetter) -> float:
    """Seconds since the epoch; the beginning of time when its own is not readable."""
    try:
        return datetime.fromisoformat(letter.time).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def kind_of(reason: str) -> str:
    """The part of a reason that many records share: what it quotes, ids and numbers are left out.

    ``failed to parse field [n] of type [long] in document with id '01a-3'. Preview of field's value: 'abc'`` and the
    same of another document are one kind.
    """
    text = _QUOTED.sub("'…'", reason)
    text = _DIGITS.sub("#", _LONG_HEX.sub("#", text))
    return text if len(text) <= _KIND_CHARS else text[:_KIND_CHARS] + "…"
