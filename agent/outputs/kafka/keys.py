"""What of a document goes beside it in Kafka: the key, and the headers that name the model. Pure."""

from collections.abc import Callable
from functools import lru_cache

from agent.outputs.kafka.record_batch import Keyed, header
from agent.outputs.source import Source, source_of, value_at

KeyOf = Callable[[bytes], Keyed]


def key_of(key: str) -> KeyOf:
    """What finds key and headers of a document, for the setting ``key``."""
    if key == "none":
        return lambda document: _of_model(source_of(document), keyed=False)
    if key == "model":
        return lambda document: _of_model(source_of(document), keyed=True)
    if key == "source":
        return _by_source
    place = key.removeprefix("field:")
    return lambda document: _with_key(source_of(document), value_at(document, place))


def _of_model(source: Source, *, keyed: bool) -> Keyed:
    return _keyed(source.model if keyed else None, source.model, source.version)


def _by_source(document: bytes) -> Keyed:
    source = source_of(document)
    key = ":".join(filter(None, (source.host, source.path))) or None
    return _keyed(key, source.model, source.version)


def _with_key(source: Source, key: bytes | None) -> Keyed:
    beside = _of_model(source, keyed=False)
    return Keyed(key, beside.headers, beside.count)


@lru_cache(maxsize=1024)
def _keyed(key: str | None, model: str | None, version: str | None) -> Keyed:
    headers = [
        header(name, value.encode())
        for name, value in (("ml.model.name", model), ("ml.model.version", version))
        if value is not None
    ]
    return Keyed(None if key is None else key.encode(), b"".join(headers), len(headers))
