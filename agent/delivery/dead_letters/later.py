"""The agent's stores, loaded when the first record is refused: most agents never have one."""

import asyncio
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.delivery.dead_letters.config import DEAD_LETTERS, DeadLettersConfig

if TYPE_CHECKING:
    from agent.delivery.dead_letters.letter import DeadLetter
    from agent.delivery.dead_letters.store import DeadLetters

_LOOK_SECS: Final = 3600.0


class DeadLettersLater:
    """The store of one output."""

    def __init__(self, queue: Path, output: str, config: DeadLettersConfig) -> None:
        self._folder = queue / DEAD_LETTERS / output
        self._config = config

    def put(self, letters: "Iterable[DeadLetter]") -> None:
        """See ``DeadLetters.put``. Blocking."""
        self._store.put(letters)

    @cached_property
    def _store(self) -> "DeadLetters":
        from agent.delivery.dead_letters.store import DeadLetters

        return DeadLetters(self._folder, self._config)


async def keep_in_bounds(queue: Path, config: DeadLettersConfig) -> None:
    """Look now and then whether letters have become too old, those of outputs no longer configured among them. For
    ever."""
    while True:
        if (queue / DEAD_LETTERS).is_dir():  # no thread is begun for nothing
            from agent.delivery.dead_letters.store import expire_all

            await asyncio.to_thread(expire_all, queue, config)
        await asyncio.sleep(_LOOK_SECS)
