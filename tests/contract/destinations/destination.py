"""The other end of an output's wire, as the suite over all outputs needs it."""

from pathlib import Path
from typing import Any, ClassVar, Self

from agent.delivery.contract import Output


class Destination:
    """One server, fake or real, and outputs towards it. An async context manager: it lives within one event loop.

    What it cannot do it says by a flag, and the suite leaves out what needs that; a flag needs a comment that says why.
    """

    recognises: ClassVar[bool] = False
    """Whether a record that comes twice is there once."""
    rejects: ClassVar[bool] = False
    """Whether it can refuse a record for what it is: ``poison`` works."""
    loses_answers: ClassVar[bool] = True
    """Whether ``lose_answer`` works."""
    repeats_itself: ClassVar[bool] = False
    """Whether its output repeats what had no answer by itself, because only then the other end can tell that it is the
    same: the delivery loop then sees no failure."""
    throttles: ClassVar[bool] = True
    """Whether ``throttle`` works."""
    goes_away: ClassVar[bool] = True
    """Whether ``go_away`` and ``come_back`` work."""
    keeps_documents: ClassVar[bool] = True
    """Whether its wire carries documents as they are: ``documents`` gives them byte for byte."""
    examples: ClassVar[int] = 20
    """How many random scripts of faults the suite plays with it, each with a server of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def __aenter__(self) -> Self:
        """Start the server, empty."""
        return self

    async def __aexit__(self, *exc: object) -> None:
        """End it."""

    def output(self, **settings: Any) -> Output:
        """An output towards it with these settings beyond what it needs; its ``id`` is ``it``."""
        raise NotImplementedError

    async def received(self) -> list[str]:
        """The ids of the records that are there, repeats included, in any order."""
        raise NotImplementedError

    async def documents(self) -> dict[str, bytes]:
        """The documents that are there, by id: byte for byte what was sent, unless the wire has another form."""
        raise NotImplementedError

    async def go_away(self) -> None:
        """Nobody listens any more."""
        raise NotImplementedError

    async def come_back(self) -> None:
        """Listen again at the same address, with what was there."""
        raise NotImplementedError

    def lose_answer(self) -> None:
        """The next request is carried out, and its answer does not arrive."""
        raise NotImplementedError

    def throttle(self, requests: int) -> None:
        """The next requests are answered "too much", and nothing of them is taken."""
        raise NotImplementedError

    def poison(self, record: str) -> None:
        """Refuse the record of this id from now on, for what it is, whatever it looks like."""
        raise NotImplementedError
