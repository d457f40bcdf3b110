"""Bodies of other protocols that come in the same way: told by their headers, and turned into lines."""

from collections.abc import Callable
from typing import Final, NamedTuple

from agent.inputs.http import cloudevents
from agent.inputs.http.answers import Refusal
from agent.inputs.http.dialect import Headers


class Recogniser(NamedTuple):
    """One such protocol, as two pure functions."""

    claims: Callable[[Headers], bool]
    """Whether a request is of it, by its headers alone: asked before the body is read."""
    lines: Callable[[Headers, bytes], list[bytes]]
    """Its events, a line of compact JSON each. Raises ``Refusal`` for a body that is none."""


def _cloud_events(headers: Headers, body: bytes) -> list[bytes]:
    found = cloudevents.read_events(headers, body)
    if found.problems:
        raise Refusal(400, "; ".join(f"event {problem.at + 1}: {problem.sentence}" for problem in found.problems[:10]))
    return found.lines


RECOGNISERS: Final[tuple[Recogniser, ...]] = (Recogniser(cloudevents.claims, _cloud_events),)
