"""The other end of an output, for as long as it is measured. One module here for each kind."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Other:
    """An other end that is there: ``config`` is the output's configuration towards it, ``received`` says how many
    records it has by now."""

    config: dict[str, Any]
    received: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Peer:
    """A kind of other end; ``name`` is the output's type. ``start`` begins a new one that may keep files in the folder
    it is given, and ends it on the way out. What it does in a process of its own is not counted.

    A module that has peers lists them in ``PEERS``.
    """

    name: str
    start: Callable[[Path], AbstractContextManager[Other]]
