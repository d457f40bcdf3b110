"""Which documents one of several queries asks for. What costs least is asked first."""

from collections.abc import Sequence

from agent.query.language import Query
from agent.query.match import matches, may_match


def may_select(queries: Sequence[Query], documents: bytes) -> bool:
    """Quickly: False when none of the queries asks for anything in these bytes."""
    return any(may_match(query, documents) for query in queries)


def select(queries: Sequence[Query], documents: Sequence[bytes]) -> list[int]:
    """The indexes of the documents that at least one of the queries asks for, in order."""
    left = list(range(len(documents)))
    selected: set[int] = set()
    for query in queries:
        selected.update(_asked_for(query, documents, left))
        left = [i for i in left if i not in selected]
    return sorted(selected)


def _asked_for(query: Query, documents: Sequence[bytes], among: Sequence[int]) -> list[int]:
    found = [
        i for i in among if may_match(query, documents[i]) and (not query.tests or matches(query.tests, documents[i]))
    ]
    if query.needs_words and found:
        from agent.query.words import with_words

        found = [found[k] for k in with_words(query, [documents[i] for i in found])]
    return found
