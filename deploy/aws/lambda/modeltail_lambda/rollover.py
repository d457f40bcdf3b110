"""Which documents may lie in an older backing index of their data stream, where ``create`` does not look. Pure.

A document cannot have been sent before the agent made it (``event.created``). So only those made before the newest
backing index have to be looked up, in the indices that were written to since.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from .document import Document

CLOCK_MARGIN = timedelta(minutes=10)
"""How far the clocks of the agents and of Elasticsearch may lie apart."""


def settings_target(stream: str) -> str:
    """Where to ask for the backing indices of a data stream."""
    return f"/{stream}/_settings/index.creation_date?filter_path=*.settings.index.creation_date"


def lookup_target(index: str) -> str:
    """Where to ask a backing index for ids. It sees documents that no refresh has shown yet."""
    return f"/{index}/_mget?_source=false&filter_path=docs._id,docs.found"


def lookup_body(documents: Sequence[Document]) -> bytes:
    """The question for ``lookup_target``."""
    return json.dumps({"ids": [document.id for document in documents]}).encode()


def read_found(answer: bytes) -> set[str]:
    """The ids that are there. Raises ``ValueError`` when the answer is none."""
    try:
        return {doc["_id"] for doc in json.loads(answer)["docs"] if doc.get("found")}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("this is not the answer to a look-up of ids") from error


def to_look_up(settings: bytes, documents: Sequence[Document]) -> Mapping[str, list[Document]]:
    """By backing index, the documents that may lie in it; never the newest index. Raises ``ValueError`` when
    ``settings`` is not an answer of ``settings_target``."""
    try:
        facts = json.loads(settings).items()
        dates = sorted((int(each["settings"]["index"]["creation_date"]), name) for name, each in facts)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("this is not a list of backing indices") from error
    places: dict[str, list[Document]] = {}
    for (_, name), (replaced_millis, _) in pairwise(dates):
        latest = datetime.fromtimestamp(replaced_millis / 1000, UTC) + CLOCK_MARGIN
        since = f"{latest:%Y-%m-%dT%H:%M:%S}.999Z"
        candidates = [document for document in documents if document.created <= since]
        if candidates:
            places[name] = candidates
    return places
