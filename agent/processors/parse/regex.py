"""Lines by a regular expression's named groups."""

from datetime import tzinfo

from agent.config import pattern
from agent.processors.normalise.tolerant import Record
from agent.processors.parse.config import RegexParse
from agent.processors.parse.parser import Parts, keep_line


class RegexWay:
    """Lines in which the expression is found. A group that took no part in the match is no part of the record."""

    def __init__(self, config: RegexParse, zone: tzinfo | None) -> None:
        compiled = pattern.compile(config.pattern)
        self._search = compiled.search
        self._parts = Parts(config, zone)
        self._groups = tuple((at - 1, *self._parts.of(name)) for name, at in compiled.groupindex.items())

    def __call__(self, text: str, read_at_ns: int) -> Record | None:
        """The groups of a line; the whole line is kept, as they need not give it back."""
        found = self._search(text.encode())
        if found is None:
            return None
        groups = found.groups()
        record: Record = {
            key: typed(part.decode(errors="replace"))
            for at, key, typed in self._groups
            if (part := groups[at]) is not None
        }
        keep_line(record, text)
        return self._parts.finish(record, read_at_ns)
