"""One Kinesis record with what was in it: the unit that is done, or not, as a whole."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from .arrivals import Arrival
from .document import Document, NotADocument, read_document
from .unpack import Unreadable, documents_in


@dataclass(frozen=True)
class Bad:
    """Something that cannot go where it should, and why. It is kept as it came."""

    arrival: Arrival
    reason: str
    content: bytes


@dataclass
class Unit:
    """A Kinesis record, its documents without repeats, and what of it is no document."""

    arrival: Arrival
    documents: Sequence[Document]
    bad: list[Bad] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        """Of the documents' text."""
        return sum(len(document.text) for document in self.documents)


def opened(arrival: Arrival) -> Unit:
    """The unit of a Kinesis record. What cannot be read of it is in ``bad``."""
    bad = []
    documents: dict[str, Document] = {}
    try:
        lines = documents_in(arrival.data)
    except Unreadable as error:
        return Unit(arrival, [], [Bad(arrival, f"this Kinesis record cannot be read: {error}", arrival.data)])
    for line in lines:
        try:
            document = read_document(line)
        except NotADocument as error:
            bad.append(Bad(arrival, str(error), line))
        else:
            documents.setdefault(document.id, document)
    return Unit(arrival, list(documents.values()), bad)


_SHARD = re.compile(r"shardId-0*(?=\d)")


def place_in_stream(arrival: Arrival) -> str:
    """Shard and sequence number in a form for names of objects."""
    return f"{_SHARD.sub('', arrival.shard)}-{arrival.sequence}"
