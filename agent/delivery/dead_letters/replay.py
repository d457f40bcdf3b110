"""Sending dead letters again, and purging them: with the agent running or not.

One file at a time is claimed, worked on and given back without what left it. So an end at any moment costs nothing:
what was delivered and not yet noted is sent again by the next replay, under the same id, and recognised as a repeat.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from agent.delivery.config import DeliveryConfig
from agent.delivery.contract import DeliveryBatch, Output
from agent.delivery.dead_letters.folder import LetterFolder
from agent.delivery.dead_letters.letter import DeadLetter, letter_of, letters_in, line_of
from agent.delivery.dead_letters.selection import Chosen, kind_of
from agent.delivery.resend import resend

Fates = dict[str, str | None]
"""What became of letters, by id: None is delivered, otherwise the new reason. What is not in it was not answered."""


class Replayed(msgspec.Struct):
    """What became of the letters of a replay. ``repeats`` of the delivered ones were there already; ``failure_store``
    went to the server's own failure store; ``left`` were not taken for now; ``refused`` are counted by kind of
    reason."""

    delivered: int = 0
    repeats: int = 0
    failure_store: int = 0
    left: int = 0
    refused: Counter[str] = msgspec.field(default_factory=Counter)


async def replay(
    folder: LetterFolder,
    output: Output,
    config: DeliveryConfig,
    chosen: Chosen,
    tell: Callable[[str], None],
    result: Replayed,
) -> None:
    """Send the chosen letters again; ``result`` is kept up to date. Files begun meanwhile are for the next time.

    What is delivered leaves the store, what is refused again stays with the new reason. Ends early when some are not
    taken for now. Raises ``AtWork``, ``Retryable`` or ``Paused`` (the output takes nothing), and ``OSError``; what was
    answered by then is noted, also when cancelled.
    """
    with folder.working():
        for path in folder.files():
            claimed = folder.claim(path)
            if claimed is None:
                continue
            fates: Fates = {}
            try:
                for batch, letters in _batches(claimed, config, chosen):
                    await _send(batch, letters, output, config, tell, fates, result)
                    tell(f"{result.delivered:,} delivered, {result.refused.total():,} refused again")
                    if result.left:
                        return
            finally:
                _note(folder, claimed, fates)


async def _send(
    batch: DeliveryBatch,
    letters: list[DeadLetter],
    output: Output,
    config: DeliveryConfig,
    tell: Callable[[str], None],
    fates: Fates,
    result: Replayed,
) -> None:
    outcome = await resend(output, batch, config, tell)
    not_now = set(outcome.retry)
    fates |= {letter.id: outcome.rejected.get(i) for i, letter in enumerate(letters) if i not in not_now}
    result.delivered += len(letters) - len(outcome.rejected) - len(not_now)
    result.repeats += outcome.duplicates
    result.failure_store += outcome.failure_store
    result.left += len(not_now)
    result.refused.update(map(kind_of, outcome.rejected.values()))


def purge(folder: LetterFolder, chosen: Chosen | None) -> int:
    """Delete the chosen letters, or with None everything, damaged lines too. How many letters. Raises ``AtWork`` and
    ``OSError``."""
    purged = 0
    with folder.working():
        for path in folder.files():
            claimed = folder.claim(path)
            if claimed is None:
                continue
            with claimed.open("rb") as file:
                ids = {letter.id for letter in letters_in(file) if chosen is None or chosen(letter)}
            if chosen is not None and not ids:
                folder.release(claimed)
                continue
            rest = [] if chosen is None else _without(claimed, dict.fromkeys(ids))
            folder.leave(claimed, rest, purged=len(ids))
            purged += len(ids)
    return purged


def _batches(path: Path, config: DeliveryConfig, chosen: Chosen) -> Iterator[tuple[DeliveryBatch, list[DeadLetter]]]:
    """The chosen letters of a file, as batches of one data stream each. Holds no more than one batch per stream."""
    waiting: dict[str, list[DeadLetter]] = {}
    sizes: Counter[str] = Counter()
    with path.open("rb") as file:
        for letter in letters_in(file):
            if not chosen(letter):
                continue
            some = waiting.setdefault(letter.stream, [])
            some.append(letter)
            sizes[letter.stream] += len(bytes(letter.document))
            if len(some) >= config.batch_records or sizes[letter.stream] >= config.batch_bytes:
                del waiting[letter.stream], sizes[letter.stream]
                yield _batch(some), some
    for some in waiting.values():
        yield _batch(some), some


def _batch(letters: list[DeadLetter]) -> DeliveryBatch:
    ids, documents = [letter.id for letter in letters], [letter.original for letter in letters]
    return DeliveryBatch.of_documents(letters[0].stream, ids, documents)


def _note(folder: LetterFolder, claimed: Path, fates: Fates) -> None:
    if fates:
        delivered = sum(1 for reason in fates.values() if reason is None)
        folder.leave(claimed, _without(claimed, fates), replayed=delivered)
    else:
        folder.release(claimed)


def _without(path: Path, fates: Fates) -> Iterator[bytes]:
    """The lines of a file but those of delivered letters; what was refused again has its new reason. A line that is no
    letter stays as it is."""
    with path.open("rb") as file:
        for line in file:
            letter = letter_of(line)
            if letter is None or letter.id not in fates:
                yield line
            elif (reason := fates[letter.id]) is not None:
                letter.reason, letter.attempts = reason.encode("utf-8", "replace").decode(), letter.attempts + 1
                yield line_of(letter)
