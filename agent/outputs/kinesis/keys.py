"""Which documents go to the same shard: the partition key of each. Pure."""

import random
from collections.abc import Callable
from typing import Final

from agent.outputs.source import source_of, value_at

MAX_KEY_CHARS: Final = 256

KeyOf = Callable[[bytes], str]


def random_key() -> str:
    """A key that says nothing, so that shards share the load."""
    return f"{random.getrandbits(64):016x}"  # spreads records, guards nothing


def key_of(strategy: str) -> KeyOf | None:
    """What finds the key of a document, empty when there is none in it, for the setting ``partition_key``; None for
    ``random``."""
    match strategy:
        case "random":
            return None
        case "model":
            return lambda document: (source_of(document).model or "")[:MAX_KEY_CHARS]
        case "source":
            return _by_source
    place = strategy.removeprefix("field:")
    return lambda document: (value_at(document, place) or b"").decode(errors="replace")[:MAX_KEY_CHARS]


def _by_source(document: bytes) -> str:
    source = source_of(document)
    return " ".join(filter(None, (source.host, source.path)))[:MAX_KEY_CHARS]
