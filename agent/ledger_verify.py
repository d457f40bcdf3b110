"""Asks an output for every record it ought to have, and names what is missing."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from agent.delivery.contract import Verifiable
from agent.delivery.dead_letters.config import DEAD_LETTERS
from agent.errors import Retryable
from agent.ledger_expected import Chunk, Expected, Span, Unasked

ATTEMPTS: Final = 5
"""How often one question is asked while the answer is "not now"."""
PROGRESS_SECS: Final = 2.0

T = TypeVar("T")


class Missing(msgspec.Struct):
    """A record that ought to be there. ``run`` and ``batch`` are parts of its id; it was put into the queue between
    ``since_ms`` and ``until_ms`` (milliseconds since 1970; 0: not known)."""

    id: str
    stream: str
    run: str
    batch: int
    since_ms: int
    until_ms: int


class Verdict(msgspec.Struct):
    """What was found. ``expected`` records ought to be there: ``there`` were, ``dead_lettered`` lie in the dead-letter
    store, the others are ``missing``, by data stream. ``unasked`` is what no id was asked for. ``counts`` and ``noted``
    are the output's over its whole life, for what may explain a missing record. ``kept_since_ms`` says, for each data
    stream something is missing in, since when the destination keeps what it has."""

    output: str
    asked: Span
    expected: int = 0
    there: int = 0
    dead_lettered: int = 0
    missing: dict[str, int] = {}
    unasked: Unasked = msgspec.field(default_factory=Unasked)
    counts: dict[str, int] = {}
    noted: dict[str, int] = {}
    kept_since_ms: dict[str, int] = {}

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing


class _DeadLetterId(msgspec.Struct):
    id: str = ""


class Verification:
    """One verification of one output. ``name`` is told every missing record, ``tell`` how far it is, in a sentence now
    and then."""

    def __init__(
        self,
        folder: Path,
        output: str,
        asked: Span,
        *,
        name: Callable[[Missing], None],
        tell: Callable[[str], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._expected = Expected(folder, output, asked)
        # Read before anything is asked: what is replayed meanwhile is there in one place or the other.
        self._dead = dead_letter_ids(folder / DEAD_LETTERS / output)
        self._name = name
        self._tell = tell
        self._sleep = sleep
        self._told_at = time.monotonic()
        self.verdict = Verdict(
            output, asked, counts=dict(self._expected.cursor.counts), noted=dict(self._expected.cursor.noted)
        )

    async def run(self, destination: Verifiable) -> Verdict:
        """Ask for everything. Raises ``SendError`` when the destination does not answer."""
        verdict = self.verdict
        for chunk in self._expected.chunks():
            await self._ask(destination, chunk)
            if time.monotonic() - self._told_at >= PROGRESS_SECS:
                self._told_at = time.monotonic()
                lost = sum(verdict.missing.values())
                self._tell(f"{verdict.expected:,} records asked for so far, {lost:,} of them missing")
        verdict.unasked = self._expected.unasked
        for stream in verdict.missing:
            since_ms = await self._patiently(partial(destination.kept_since_ms, stream))
            if since_ms is not None:
                verdict.kept_since_ms[stream] = since_ms
        return verdict

    async def _ask(self, destination: Verifiable, chunk: Chunk) -> None:
        verdict = self.verdict
        wanted = [record for record in chunk.ids if record not in self._dead]
        missing = await self._patiently(partial(destination.missing, chunk.stream, wanted)) if wanted else []
        verdict.expected += len(chunk.ids)
        verdict.dead_lettered += len(chunk.ids) - len(wanted)
        verdict.there += len(wanted) - len(missing)
        if not missing:
            return
        verdict.missing[chunk.stream] = verdict.missing.get(chunk.stream, 0) + len(missing)
        places = {record: i for i, record in enumerate(chunk.ids)}
        for record in missing:
            span = chunk.span_at(places[record])
            run, batch, _ = record.split("-")
            self._name(Missing(record, chunk.stream, run, int(batch, 16), span.since_ms, span.until_ms))

    async def _patiently(self, question: Callable[[], Awaitable[T]]) -> T:
        """Ask again while the answer is "not now", a few times."""
        for attempt in range(1, ATTEMPTS):
            try:
                return await question()
            except Retryable as trouble:
                self._tell(f"{trouble}; asking again")
                await self._sleep(max(trouble.retry_after_secs or 0.0, 0.5 * 2**attempt))
        return await question()


def dead_letter_ids(folder: Path) -> set[str]:
    """The ids in a dead-letter store, those just being replayed among them. A line that is not whole is passed over;
    the store's own bound bounds the set."""
    ids: set[str] = set()
    for _ in range(ATTEMPTS):  # a file that changed its name meanwhile is found under the other
        if all([_read_ids(path, ids) for path in sorted(folder.glob("[0-9]*")) if path.is_file()]):
            break
    return ids


def _read_ids(path: Path, ids: set[str]) -> bool:
    """Add the ids of one file. False when it is not there any more."""
    decode = msgspec.json.Decoder(_DeadLetterId).decode
    try:
        with path.open("rb") as file:
            for line in file:
                with suppress(ValueError):
                    ids.add(decode(line).id)
    except FileNotFoundError:
        return False
    return True
