"""What is sent to an input, and how."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Feed:
    """Records sent to one input.

    ``config`` is the input's configuration, listening on port 0; ``{folder}`` in its texts becomes a folder of the
    run's own. ``send(address, count)`` sends from the harness's process and returns how many records it sent.
    ``address`` is where the input listens; of one that does not listen, the folder; with ``piped``, a path to write to
    that is modeltail's standard input. ``prepare(count)`` is called before anything is measured. ``model`` is the
    command that `modeltail exec` runs in place of `modeltail run`. Programs that an input runs count as its own CPU.
    """

    name: str
    count: int
    config: dict[str, Any]
    send: Callable[[str, int], int]
    piped: bool = False
    model: tuple[str, ...] = ()
    prepare: Callable[[int], object] = lambda count: None
