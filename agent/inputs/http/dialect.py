"""What differs between the inputs that answer HTTP requests: what a body means, and how one is answered."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from agent.inputs.http.answers import Answer, Refusal, Refused
from agent.inputs.lines import Cut

Headers = Mapping[str, str]
"""Header fields by name; asked without regard to case."""


class Unchecked(Cut):
    """Lines that have to be JSON objects, which nobody has looked at yet. ``first`` is the number of the first."""

    first: int = 1


class Exchange(Protocol):
    """One request and its answer, once its header is known."""

    def cuts(self, body: bytes, refused: Refused) -> Iterator[Cut]:
        """The expanded body's records as lines, within the limits of a batch; what is not taken is added to
        ``refused`` on the way. Raises ``Refusal``, before the first cut only, when nothing can be taken."""
        ...

    def answer(self, accepted: int, refused: Refused) -> Answer:
        """The answer when what was accepted is in the queue."""
        ...


class Dialect(Protocol):
    """A way to speak HTTP."""

    path: str
    all_or_nothing: bool
    """Whether a body of which something is refused is refused whole."""

    def meet(self, headers: Headers) -> Exchange:
        """Look at a request's header, before its body is read. Raises ``Refusal``."""
        ...

    def refuse(self, headers: Headers, refusal: Refusal) -> Answer:
        """The answer to a request that is not taken."""
        ...
