"""Records whose fields do not lie at the top: they are re-laid as flat records before anything is read.

* Objects within objects that hold places of the document, as ECS writers make them: ``"trace": {"id": …}`` becomes
  ``"trace.id"``.
* loguru's records (``loguru.py``), the bodies of LLM calls (``openai.py``) and of inference requests
  (``inference_protocol.py``).

Values are moved, never re-written; members nobody asked for stay where they were, in what is left of their object.
"""

from typing import Final

from agent.processors.normalise.shapes import inference_protocol, loguru, openai
from agent.processors.normalise.shapes.moving import move, tree_of
from agent.processors.normalise.spellings import NESTED
from agent.processors.normalise.tolerant import Record

_ECS: Final = tree_of(NESTED)


def has_shape(keys: tuple[str, ...]) -> bool:
    """Whether a record with these keys may have one of the shapes."""
    return (
        not _ECS.keys().isdisjoint(keys)
        or loguru.is_loguru(keys)
        or openai.is_llm(keys)
        or inference_protocol.is_body(keys)
    )


def reshape(record: Record) -> Record:
    """The record laid flat. One that only looks as if it had a shape comes back as it was."""
    if loguru.is_loguru(record):
        record = loguru.lay_flat(record)
    if openai.is_llm(record):
        record = openai.lay_flat(record)
    elif inference_protocol.is_body(record):
        record = inference_protocol.lay_flat(record)
    flat: Record = {}
    for key, value in record.items():
        tree = _ECS.get(key)
        if tree is None or isinstance(tree, str):
            flat[key] = value
        else:
            move(key, value, tree, flat, taken=record)
    return flat
