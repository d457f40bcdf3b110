"""Bodies of inference requests and LLM calls, as the documentation of their servers shows them."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.normalise.documents import READ_AT, batch_of, bodies, document

READ = {"@timestamp": READ_AT, "labels": {"timestamp": "read"}}
IRIS = {"shape": [2, 4], "datatype": "FP32", "data": [[6.8, 2.8, 4.8, 1.4], [6.0, 3.4, 4.5, 1.6]]}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # KServe: sklearn-iris over version 2, request and response.
        (
            {"id": "4e5b", "inputs": [{"name": "input-0", **IRIS}]},
            {"ml": {"inference": {"id": "4e5b", "batch_size": 2}, "inputs": {"input-0": IRIS}}},
        ),
        (
            {
                "model_name": "sklearn-iris",
                "model_version": None,
                "id": "f4b3",
                "parameters": None,
                "outputs": [
                    {"name": "output-0", "shape": [2], "datatype": "INT32", "parameters": None, "data": [1, 1]}
                ],
            },
            {
                "ml": {
                    "model": {"name": "sklearn-iris"},
                    "inference": {"id": "f4b3"},
                    "outputs": {"output-0": {"shape": [2], "datatype": "INT32", "parameters": None, "data": [1, 1]}},
                },
                "fields": {"model_version": None, "parameters": None},
            },
        ),
        # Triton: two tensors in, two asked for by name.
        (
            {
                "inputs": [
                    {"name": "INPUT0", "shape": [1, 16], "datatype": "INT32", "data": [1]},
                    {"name": "INPUT1", "shape": [1, 16], "datatype": "INT32", "parameters": {"binary_data_size": 64}},
                ],
                "outputs": [{"name": "OUTPUT0", "parameters": {"binary_data": True}}, {"name": "OUTPUT1"}],
            },
            {
                "ml": {
                    "inference": {"batch_size": 1},
                    "inputs": {
                        "INPUT0": {"shape": [1, 16], "datatype": "INT32", "data": [1]},
                        "INPUT1": {"shape": [1, 16], "datatype": "INT32", "parameters": {"binary_data_size": 64}},
                    },
                },
                "fields": {
                    "requested_outputs": [{"name": "OUTPUT0", "parameters": {"binary_data": True}}, {"name": "OUTPUT1"}]
                },
            },
        ),
        # MLServer: text, whose one dimension may or may not be the batch.
        (
            {
                "parameters": {"content_type": "str"},
                "inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["hello"]}],
            },
            {
                "ml": {"inputs": {"text": {"shape": [1], "datatype": "BYTES", "data": ["hello"]}}},
                "fields": {"parameters": {"content_type": "str"}},
            },
        ),
        # TensorFlow Serving and KServe's version 1.
        (
            {"instances": [[6.8, 2.8], [6.0, 3.4]]},
            {"ml": {"inference": {"batch_size": 2}, "inputs": {"value": [[6.8, 2.8], [6.0, 3.4]]}}},
        ),
        (
            {"signature_name": "serving_default", "instances": [{"x": 1}]},
            {
                "ml": {"inference": {"batch_size": 1}, "inputs": {"value": [{"x": 1}]}},
                "fields": {"signature_name": "serving_default"},
            },
        ),
        ({"predictions": [1, 1]}, {"ml": {"outputs": {"value": [1, 1]}}}),
    ],
)
def test_inference_protocols(body: dict[str, Any], expected: dict[str, Any]) -> None:
    """Tensors land by name; the batch size is said only where it is sure."""
    assert document(body) == READ | expected


CHOICES = [
    {"index": 0, "message": {"role": "assistant", "content": "Hello!"}, "logprobs": None, "finish_reason": "stop"}
]
MESSAGES = [{"role": "system", "content": "You help."}, {"role": "user", "content": "Hello!"}]
OUTPUT = [{"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # Chat completions: request and answer.
        (
            {"model": "gpt-4o", "messages": MESSAGES, "temperature": 0.7, "stream": False},
            {
                "gen_ai": {"operation": {"name": "chat"}, "request": {"model": "gpt-4o"}},
                "ml": {"model": {"name": "gpt-4o"}, "inputs": {"value": MESSAGES}},
                "fields": {"temperature": 0.7, "stream": False},
            },
        ),
        (
            {
                "id": "chatcmpl-123",
                "object": "chat.completion",
                "created": 1763805600,
                "model": "gpt-4o-2024-08-06",
                "choices": CHOICES,
                "usage": {
                    "prompt_tokens": 19,
                    "completion_tokens": 10,
                    "total_tokens": 29,
                    "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
                    "completion_tokens_details": {"reasoning_tokens": 4},
                },
                "system_fingerprint": "fp_1",
            },
            {
                "@timestamp": "2025-11-22T10:00:00Z",
                "gen_ai": {
                    "operation": {"name": "chat"},
                    "response": {"id": "chatcmpl-123", "model": "gpt-4o-2024-08-06", "finish_reasons": ["stop"]},
                    "usage": {
                        "input_tokens": 19,
                        "output_tokens": 10,
                        "cache_read": {"input_tokens": 8},
                        "reasoning": {"output_tokens": 4},
                    },
                },
                "ml": {"model": {"name": "gpt-4o-2024-08-06"}, "outputs": {"value": CHOICES}},
                "fields": {
                    "object": "chat.completion",
                    "created": 1763805600,
                    "usage": {"total_tokens": 29, "prompt_tokens_details": {"audio_tokens": 0}},
                    "system_fingerprint": "fp_1",
                },
            },
        ),
        # One streamed piece: no reason to end yet.
        (
            {
                "id": "c1",
                "object": "chat.completion.chunk",
                "model": "m",
                "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}],
                "usage": None,
            },
            {
                "gen_ai": {"operation": {"name": "chat"}, "response": {"id": "c1", "model": "m"}},
                "ml": {
                    "model": {"name": "m"},
                    "outputs": {"value": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}]},
                },
                "fields": {"object": "chat.completion.chunk", "usage": None},
            },
        ),
        # vLLM: completions, request and answer.
        (
            {"model": "facebook/opt-125m", "prompt": "San Francisco is a", "max_tokens": 7},
            {
                "gen_ai": {"operation": {"name": "text_completion"}, "request": {"model": "facebook/opt-125m"}},
                "ml": {"model": {"name": "facebook/opt-125m"}, "inputs": {"value": "San Francisco is a"}},
                "fields": {"max_tokens": 7},
            },
        ),
        (
            {
                "id": "cmpl-1",
                "object": "text_completion",
                "model": "facebook/opt-125m",
                "choices": [{"index": 0, "text": " city", "finish_reason": "length"}],
                "usage": {"prompt_tokens": 5, "completion_tokens": 7},
            },
            {
                "gen_ai": {
                    "operation": {"name": "text_completion"},
                    "response": {"id": "cmpl-1", "model": "facebook/opt-125m", "finish_reasons": ["length"]},
                    "usage": {"input_tokens": 5, "output_tokens": 7},
                },
                "ml": {
                    "model": {"name": "facebook/opt-125m"},
                    "outputs": {"value": [{"index": 0, "text": " city", "finish_reason": "length"}]},
                },
                "fields": {"object": "text_completion"},
            },
        ),
        # Responses: request and answer.
        (
            {"model": "gpt-4.1", "input": "Hi", "instructions": "Be brief."},
            {
                "gen_ai": {"operation": {"name": "chat"}, "request": {"model": "gpt-4.1"}},
                "ml": {"model": {"name": "gpt-4.1"}, "inputs": {"value": "Hi"}},
                "fields": {"instructions": "Be brief."},
            },
        ),
        (
            {
                "id": "resp_1",
                "object": "response",
                "status": "completed",
                "model": "gpt-4.1-2025-04-14",
                "output": OUTPUT,
                "usage": {
                    "input_tokens": 36,
                    "input_tokens_details": {"cached_tokens": 0},
                    "output_tokens": 87,
                    "output_tokens_details": {"reasoning_tokens": 0},
                    "total_tokens": 123,
                },
            },
            {
                "gen_ai": {
                    "operation": {"name": "chat"},
                    "response": {"id": "resp_1", "model": "gpt-4.1-2025-04-14"},
                    "usage": {
                        "input_tokens": 36,
                        "output_tokens": 87,
                        "cache_read": {"input_tokens": 0},
                        "reasoning": {"output_tokens": 0},
                    },
                },
                "ml": {"model": {"name": "gpt-4.1-2025-04-14"}, "outputs": {"value": OUTPUT}},
                "fields": {"object": "response", "status": "completed", "usage": {"total_tokens": 123}},
            },
        ),
        # Embeddings: request and answer.
        (
            {"model": "text-embedding-3-small", "input": ["a", "b"], "encoding_format": "float"},
            {
                "gen_ai": {"operation": {"name": "embeddings"}, "request": {"model": "text-embedding-3-small"}},
                "ml": {"model": {"name": "text-embedding-3-small"}, "inputs": {"value": ["a", "b"]}},
                "fields": {"encoding_format": "float"},
            },
        ),
        (
            {
                "object": "list",
                "data": [{"object": "embedding", "embedding": [-0.006929283495992422], "index": 0}],
                "model": "text-embedding-3-small",
                "usage": {"prompt_tokens": 5, "total_tokens": 5},
            },
            {
                "gen_ai": {
                    "operation": {"name": "embeddings"},
                    "response": {"model": "text-embedding-3-small"},
                    "usage": {"input_tokens": 5},
                },
                "ml": {
                    "model": {"name": "text-embedding-3-small"},
                    "outputs": {"value": [{"object": "embedding", "embedding": [-0.006929283495992422], "index": 0}]},
                },
                "fields": {"object": "list", "usage": {"total_tokens": 5}},
            },
        ),
    ],
)
def test_llm_calls(body: dict[str, Any], expected: dict[str, Any]) -> None:
    """What is asked, answered and used lands where dashboards look for it."""
    assert document(body) == (expected if "@timestamp" in expected else READ | expected)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # A record of the user's own with the same words: tensors stay a list, nothing is counted.
        (
            {"inputs": [{"name": "a", **IRIS}], "user": 1},
            {"ml": {"inputs": {"value": [{"name": "a", **IRIS}]}}, "fields": {"user": 1}},
        ),
        ({"inputs": {"a": 1}, "outputs": {"b": 2}}, {"ml": {"inputs": {"a": 1}, "outputs": {"b": 2}}}),
        ({"outputs": [{"name": "b"}]}, {"ml": {"outputs": {"value": [{"name": "b"}]}}}),
        (
            {"inputs": [{"name": "a", **IRIS}, {"name": "a", **IRIS}]},
            {"ml": {"inputs": {"value": [{"name": "a", **IRIS}, {"name": "a", **IRIS}]}}},
        ),
        (
            {"inputs": [{"name": 7, **IRIS}]},
            {"ml": {"inputs": {"value": [{"name": 7, **IRIS}]}}},
        ),
        (
            {"event": "scaled out", "instances": ["i-1", "i-2"]},
            {"message": "scaled out", "ml": {"inputs": {"value": ["i-1", "i-2"]}}},
        ),
        ({"instances": 3}, {"ml": {"inputs": {"value": 3}}}),
        ({"instances": []}, {"ml": {"inputs": {"value": []}}}),
        (
            {"instances": [1, 2], "ml.inference.batch_size": 5},
            {"ml": {"inputs": {"value": [1, 2]}, "inference": {"batch_size": 5}}},
        ),
        ({"model": "m", "input": "x"}, {"ml": {"model": {"name": "m"}, "inputs": {"value": "x"}}}),
        (
            {"model": "m", "object": "list", "data": [1], "usage": 4},
            {
                "gen_ai": {"request": {"model": "m"}},
                "ml": {"model": {"name": "m"}},
                "fields": {"object": "list", "data": [1], "usage": 4},
            },
        ),
        (
            {"model": "m", "messages": [1], "prompt": "p"},
            {
                "gen_ai": {"operation": {"name": "chat"}, "request": {"model": "m"}},
                "ml": {"model": {"name": "m"}, "inputs": {"value": [1]}},
                "fields": {"prompt": "p"},
            },
        ),
        (
            {"model": "m", "usage": {"prompt_tokens": 1, "input_tokens": 2}},
            {
                "gen_ai": {"request": {"model": "m"}, "usage": {"input_tokens": 1}},
                "ml": {"model": {"name": "m"}},
                "fields": {"usage": {"input_tokens": 2}},
            },
        ),
    ],
)
def test_what_only_looks_like_a_body(body: dict[str, Any], expected: dict[str, Any]) -> None:
    """Words that everybody uses make no body; where two members want one place the first has it."""
    assert document(body) == READ | expected


@pytest.mark.parametrize(
    ("shapes", "size"),
    [
        ([[3, 4]], 3),
        ([[3, 4], [3, 1, 9]], 3),
        ([[3, 4], [2, 4]], None),
        ([[3, 4], [3]], None),
        ([[-1, 4]], None),
        ([[0, 4]], None),
        ([[]], None),
        ([[3.0, 4]], None),
        (["3"], None),
    ],
)
def test_batch_size_only_where_tensors_agree(shapes: list[Any], size: int | None) -> None:
    """The first of at least two dimensions, if it is the same everywhere and a real count."""
    tensors = [{"name": str(i), "shape": shape, "datatype": "FP32"} for i, shape in enumerate(shapes)]
    found = document({"inputs": tensors})["ml"].get("inference", {}).get("batch_size")
    assert found == (None if size is None else str(size))


KEYS = [
    "model",
    "messages",
    "choices",
    "usage",
    "prompt",
    "object",
    "input",
    "output",
    "data",
    "id",
    "instructions",
    "encoding_format",
    "inputs",
    "outputs",
    "instances",
    "predictions",
    "parameters",
    "model_name",
    "name",
    "shape",
    "datatype",
    "prompt_tokens",
    "input_tokens",
    "prompt_tokens_details",
    "input_tokens_details",
    "cached_tokens",
    "embedding",
    "finish_reason",
    "text",
    "record",
    "requested_outputs",
    "trace",
    "gen_ai",
    "request",
    "error",
    "gen_ai.request.model",
    "ml.inference.batch_size",
]
NAMED = ["list", "embedding", "response", "chat.completion", "text_completion"]


@st.composite
def marked(draw: st.DrawFn) -> dict[str, Any]:
    """A record of the words bodies are made of; every plain value in it is there once."""
    number = iter(range(10**6))
    plain = st.sampled_from(["text", "number"]).map(
        lambda kind: f"<{next(number)}>" if kind == "text" else 10**9 + next(number)
    )
    tensor = st.fixed_dictionaries({"name": plain, "shape": st.just([2, 2]), "datatype": plain, "data": plain})
    tree = st.recursive(
        plain | st.lists(tensor, min_size=1, max_size=2),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
            | st.lists(st.dictionaries(st.sampled_from(KEYS), inner, max_size=3), max_size=2)
        ),
        max_leaves=10,
    )
    record = draw(st.dictionaries(st.sampled_from(KEYS), tree, max_size=7))
    if draw(st.booleans()):
        record["object"] = draw(st.sampled_from(NAMED))
    return record


def leaves(value: Any) -> list[str]:
    """The text of every plain value."""
    if isinstance(value, dict):
        return [text for member in value.values() for text in leaves(member)]
    if isinstance(value, list):
        return [text for item in value for text in leaves(item)]
    return [json.dumps(value)]


@settings(max_examples=500, deadline=None)
@given(marked(), st.sampled_from([1, 3]))
def test_everything_moved_is_found_again(record: dict[str, Any], repeats: int) -> None:
    """Whatever a record looks like, each of its values is in the document, and in no other words."""
    for body in bodies(batch_of([record] * repeats)):
        json.loads(body)
        assert [text for text in leaves(record) if text.encode() not in body] == []
