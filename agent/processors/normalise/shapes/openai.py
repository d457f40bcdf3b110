"""The bodies of LLM calls in OpenAI's style, as OpenAI, vLLM, KServe and many others take and give them.

=================== ============================================================ ================
operation           request                                                      answer
=================== ============================================================ ================
``chat``            ``model`` with ``messages``; ``model`` with ``input`` and    ``choices``;
                    ``instructions`` or another member of the Responses API only ``output``
``text_completion`` ``model`` with ``prompt``                                    ``choices``
``embeddings``      ``model`` with ``input`` and ``encoding_format`` or          ``data``
                    ``dimensions``
=================== ============================================================ ================

An answer says what it is in ``object``; one streamed piece of an answer (``chat.completion.chunk``) is read like a
whole one. A record may hold request and answer together.
"""

from collections.abc import Collection
from typing import Final

import msgspec

from agent.processors.normalise.shapes.moving import Tree, move
from agent.processors.normalise.tolerant import Record
from agent.values import Value, is_string, quote

_objects: Final = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode

_USAGE: Final[Tree] = {
    "prompt_tokens": "gen_ai.usage.input_tokens",
    "completion_tokens": "gen_ai.usage.output_tokens",
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "prompt_tokens_details": {"cached_tokens": "gen_ai.usage.cache_read.input_tokens"},
    "input_tokens_details": {"cached_tokens": "gen_ai.usage.cache_read.input_tokens"},
    "completion_tokens_details": {"reasoning_tokens": "gen_ai.usage.reasoning.output_tokens"},
    "output_tokens_details": {"reasoning_tokens": "gen_ai.usage.reasoning.output_tokens"},
}
_TELLING: Final = frozenset(("messages", "prompt", "choices", "usage"))
_OF_RESPONSES: Final = frozenset(("instructions", "max_output_tokens", "previous_response_id"))
_OF_EMBEDDINGS: Final = frozenset(("encoding_format", "dimensions"))
_ANSWERS: Final = {
    b'"chat.completion"': b'"chat"',
    b'"chat.completion.chunk"': b'"chat"',
    b'"text_completion"': b'"text_completion"',
    b'"response"': b'"chat"',
    b'"list"': b'"embeddings"',
}
"""The operation by what an answer says it is."""


def is_llm(keys: Collection[str]) -> bool:
    """Whether a record with these keys may be a call's request, answer, or both."""
    if "model" not in keys:
        return False
    names = set(keys)
    if not names.isdisjoint(_TELLING):
        return True
    if "input" in names:
        return not names.isdisjoint(_OF_RESPONSES | _OF_EMBEDDINGS)
    return {"object", "output"} <= names


def lay_flat(record: Record) -> Record:
    """The call's members under the names of their places; one that is no call comes back as it was."""
    if not is_string(bytes(record["model"])):
        return record
    answer = _answer(record)
    is_request = "messages" in record or "prompt" in record or "input" in record
    renamed = {"messages": "inputs", "prompt": "inputs", "choices": "outputs", "model": "gen_ai.request.model"}
    if answer is not None and not is_request:
        renamed |= {"model": "gen_ai.response.model", "id": "gen_ai.response.id"}
    if answer == b'"embeddings"':
        renamed["data"] = "outputs"
    flat: Record = {}
    for key, value in record.items():
        if key == "usage":
            move(key, value, _USAGE, flat, taken=record)
            continue
        name = renamed.get(key, key)
        flat[key if name in record or name in flat else name] = value
    derived = {
        "gen_ai.operation.name": answer or _asked(record),
        "gen_ai.response.finish_reasons": _finish_reasons(record["choices"]) if "choices" in record else None,
    }
    for place, text in derived.items():
        if text is not None and place not in record:
            flat[place] = text
    return flat


def _answer(record: Record) -> bytes | None:
    """The operation this record is the answer of; None if it does not say."""
    operation = _ANSWERS.get(bytes(record.get("object", b"")))
    if operation == b'"embeddings"' and not ("data" in record and _are_embeddings(record["data"])):
        return None
    return operation


def _asked(record: Record) -> bytes | None:
    """The operation this record asks for; None where more than one takes such a request."""
    if "messages" in record:
        return b'"chat"'
    if "prompt" in record:
        return b'"text_completion"'
    if "input" in record and not _OF_RESPONSES.isdisjoint(record):
        return b'"chat"'
    if "input" in record and not _OF_EMBEDDINGS.isdisjoint(record):
        return b'"embeddings"'
    return None


def _are_embeddings(data: Value) -> bool:
    try:
        found = _objects(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return bool(found) and all(bytes(each.get("object", b"")) == quote("embedding") for each in found)


def _finish_reasons(choices: Value) -> bytes | None:
    try:
        found = [bytes(choice["finish_reason"]) for choice in _objects(choices) if "finish_reason" in choice]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return b"[%b]" % b",".join(found) if found and all(map(is_string, found)) else None
