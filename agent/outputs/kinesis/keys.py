"""Which documents go to the same shard: the partition key of each. Pure."""

import random
from typing import Final

import msgspec

MAX_KEY_CHARS: Final = 256

_PLACES: Final = {"source": ("host.name", "log.file.path"), "model": ("ml.model.name",)}
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_string = msgspec.json.Decoder(str)


def random_key() -> str:
    """A key that says nothing, so that shards share the load."""
    return f"{random.getrandbits(64):016x}"  # spreads records, guards nothing


def places_of(strategy: str) -> tuple[str, ...]:
    """The places in a document whose values make its key; none for ``random``."""
    if strategy.startswith("field:"):
        return (strategy.removeprefix("field:"),)
    return _PLACES.get(strategy, ())


def key_of(document: bytes, places: tuple[str, ...]) -> str:
    """The values of these places, joined; empty when the document has none of them."""
    values = [text for place in places if (text := _value(document, place))]
    return " ".join(values)[:MAX_KEY_CHARS]


def _value(text: bytes | msgspec.Raw, place: str) -> str:
    """The value at a place as text; empty when there is none. A key may itself hold dots."""
    try:
        fields = _object.decode(text)
        inner = fields.get(place)
        if inner is None:
            head, _, rest = place.partition(".")
            inner = fields.get(head) if rest else None
            return "" if inner is None else _value(inner, rest)
        value = bytes(inner)
        return _string.decode(value) if value.startswith(b'"') else "" if value == b"null" else value.decode()
    except ValueError:  # msgspec's errors among them
        return ""
