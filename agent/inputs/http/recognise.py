"""Bodies of other protocols that come in the same way: told by their headers, and turned into lines."""

from collections.abc import Callable
from typing import Final, NamedTuple

from agent.inputs.http.dialect import Headers


class Recogniser(NamedTuple):
    """One such protocol, as two pure functions."""

    claims: Callable[[Headers], bool]
    """Whether a request is of it, by its headers alone: asked before the body is read."""
    lines: Callable[[Headers, bytes], list[bytes]]
    """Its events, a line of compact JSON each. Raises ``Refusal`` for a body that is none."""


RECOGNISERS: Final[tuple[Recogniser, ...]] = ()
