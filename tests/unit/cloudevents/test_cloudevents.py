"""CloudEvents to lines, and what the lines become."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from agent.inputs.http.cloudevents import claims, read_events
from tests.unit.normalise.documents import READ_AT, batch_of, bodies, document

KSERVE = {
    "Content-Type": "application/json",
    "Ce-Specversion": "1.0",
    "Ce-Id": "5f0c2b6e",
    "Ce-Source": "http://localhost:9081/",
    "Ce-Type": "org.kubeflow.serving.inference.request",
    "Ce-Time": "2026-11-22T10:00:00.123456789Z",
    "Ce-Inferenceservicename": "sklearn-iris",
    "Ce-Namespace": "kserve-test",
    "Ce-Component": "predictor",
    "Ce-Endpoint": "",
}
SELDON = {
    "content-type": "application/json",
    "ce-specversion": "1.0",
    "ce-id": "b1e2",
    "ce-source": "http://:8000/",
    "ce-type": "io.seldon.serving.inference.response",
    "ce-time": "2026-11-22T10:00:00Z",
    "ce-requestid": "0fdb5c3a",
    "ce-modelid": "classifier",
    "ce-inferenceservicename": "income",
    "ce-namespace": "seldon",
    "ce-endpoint": "default",
}


def lines_of(headers: dict[str, str], body: bytes) -> list[bytes]:
    """The lines of a request that is in order."""
    found = read_events(headers, body)
    assert found.problems == []
    return found.lines


def structured(**members: Any) -> dict[str, Any]:
    """An event as an object."""
    return {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"} | members


def send(*events: Any) -> list[bytes]:
    """The lines of a structured event, or of a batch of them."""
    if len(events) == 1:
        return lines_of({"Content-Type": "application/cloudevents+json; charset=utf-8"}, json.dumps(*events).encode())
    return lines_of({"Content-Type": "application/cloudevents-batch+json"}, json.dumps(events).encode())


def test_request_that_kserve_logs() -> None:
    """Binary mode: the headers say who and when, the body is the request."""
    (line,) = lines_of(KSERVE, b'{\n  "instances": [[6.8, 2.8, 4.8, 1.40]]\n}')
    assert document(line) == {
        "@timestamp": "2026-11-22T10:00:00.123456789Z",
        "kubernetes": {"namespace": "kserve-test"},
        "ml": {
            "model": {"name": "sklearn-iris"},
            "inference": {"id": "5f0c2b6e", "phase": "request", "batch_size": 1},
            "inputs": {"value": [["6.8", "2.8", "4.8", "1.40"]]},
        },
        "fields": {
            "cloudevent": {
                "source": "http://localhost:9081/",
                "type": "org.kubeflow.serving.inference.request",
                "inferenceservicename": "sklearn-iris",
                "component": "predictor",
                "endpoint": "",
            }
        },
    }


def test_response_that_seldon_logs() -> None:
    """The request's id joins the two, not the event's; the model's own word for itself comes first."""
    tensor = {"name": "predict", "shape": [1, 2], "datatype": "FP64", "data": [0.1, 0.9]}
    (line,) = lines_of(SELDON, json.dumps({"model_name": "v2-model", "id": "x", "outputs": [tensor]}).encode())
    assert document(line) == {
        "@timestamp": "2026-11-22T10:00:00Z",
        "kubernetes": {"namespace": "seldon"},
        "ml": {
            "model": {"name": "v2-model"},
            "inference": {"id": "0fdb5c3a", "phase": "response", "batch_size": 1},
            "outputs": {"predict": {"shape": [1, 2], "datatype": "FP64", "data": [0.1, 0.9]}},
        },
        "fields": {
            "id": "x",
            "cloudevent": {
                "id": "b1e2",
                "source": "http://:8000/",
                "type": "io.seldon.serving.inference.response",
                "modelid": "classifier",
                "inferenceservicename": "income",
                "endpoint": "default",
            },
        },
    }


def test_model_of_seldons_graph_names_the_model() -> None:
    """``modelid`` is the node, ``inferenceservicename`` the deployment around it."""
    (line,) = lines_of(SELDON, b'{"data": {"ndarray": [[1]]}}')
    assert document(line)["ml"]["model"] == {"name": "classifier"}


def test_request_and_response_share_their_id() -> None:
    """KServe gives both the same ``Ce-Id``."""
    (asked,) = lines_of(KSERVE, b'{"instances": [1]}')
    (answered,) = lines_of(KSERVE | {"Ce-Type": "org.kubeflow.serving.inference.response"}, b'{"predictions": [1]}')
    assert [document(line)["ml"]["inference"] for line in (asked, answered)] == [
        {"id": "5f0c2b6e", "phase": "request", "batch_size": "1"},
        {"id": "5f0c2b6e", "phase": "response"},
    ]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ("a%25b", "a%b"),
        ("a%b", "a%b"),
        ("%ff", "%ff"),
        ('"say \\"hi\\""', 'say "hi"'),
        ('"', '"'),
        ("plain", "plain"),
    ],
)
def test_values_of_headers_are_unescaped_once(written: str, read: str) -> None:
    """Quotes and percent signs of the binding go; what is no escape stays as it is."""
    (line,) = lines_of(KSERVE | {"Ce-Component": written}, b"{}")
    assert document(line)["fields"]["cloudevent"]["component"] == read


def test_headers_kept_by_kserve_are_an_object() -> None:
    """``metadata`` is JSON in a string."""
    said = '{"X-Request-Id":["r-1"],"X-B3-Traceid":["t"]}'
    (line,) = lines_of(KSERVE | {"Ce-Metadata": said.replace('"', "%22")}, b"{}")
    assert document(line)["fields"]["cloudevent"]["metadata"] == {"X-Request-Id": ["r-1"], "X-B3-Traceid": ["t"]}


def test_trace_of_the_event() -> None:
    """The distributed tracing extension joins the event to its trace; the whole of it stays."""
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    found = document(send(structured(traceparent=parent))[0])
    assert (found["trace"], found["span"]) == ({"id": parent[3:35]}, {"id": parent[36:52]})
    assert found["fields"]["cloudevent"]["traceparent"] == parent


@pytest.mark.parametrize("phase", ["request", "response"])
@pytest.mark.parametrize(
    ("content_type", "body", "payload"),
    [
        ("text/csv", b"a,b\n1,2\n", {"content_type": "text/csv", "text": "a,b\n1,2\n"}),
        ("image/jpeg", b"\xff\xd8\xff", {"content_type": "image/jpeg", "base64": "/9j/"}),
        ("application/x-protobuf", b"\x08\x00a", {"content_type": "application/x-protobuf", "base64": "CABh"}),
        ("application/json", b'{"cut": [1, 2', {"content_type": "application/json", "text": '{"cut": [1, 2'}),
        ("", b"plain", {"text": "plain"}),
        ("application/json", b"[1, 2]", {"value": [1, 2]}),
        ("application/json", b"0.50", {"value": "0.50"}),
        ("application/json", b"null", {"value": None}),
    ],
)
def test_data_that_is_no_object(phase: str, content_type: str, body: bytes, payload: object) -> None:
    """Text stays text, bytes become base64, both with what they were called; other JSON is the payload as it is."""
    headers = KSERVE | {"Content-Type": content_type, "Ce-Type": f"org.kubeflow.serving.inference.{phase}"}
    (line,) = lines_of(headers, body)
    assert document(line)["ml"]["inputs" if phase == "request" else "outputs"] == payload


def test_json_is_recognised_whatever_it_is_called() -> None:
    """``curl -d`` calls everything a form."""
    (line,) = lines_of(KSERVE | {"Content-Type": "application/x-www-form-urlencoded"}, b'{"instances": [1]}')
    assert document(line)["ml"]["inputs"] == {"value": [1]}


def test_data_with_nan_is_read_and_counted() -> None:
    """Python's servers write it; it comes through on one line, and is counted where every ``NaN`` is."""
    (line,) = lines_of(KSERVE, b'{"predictions":\n [NaN, 1.0]}')
    batch = batch_of([line])
    (body,) = bodies(batch)
    assert json.loads(body)["ml"]["outputs"] == {"value": ["NaN", 1.0]}
    assert batch.counts.noted == {"not_json_nan": 1}


def test_event_without_data() -> None:
    """It says at least that it happened."""
    (line,) = lines_of(KSERVE, b"")
    assert document(line)["ml"] == {
        "inference": {"id": "5f0c2b6e", "phase": "request"},
        "model": {"name": "sklearn-iris"},
    }


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        ({"data": {"a": 1}}, {"a": 1}),
        ({"data": [1]}, {"data": [1]}),
        ({"data": None}, {}),
        ({"data": "text", "datacontenttype": "text/plain"}, {"data": {"content_type": "text/plain", "text": "text"}}),
        ({"data": "a string"}, {"data": "a string"}),
        ({"data_base64": base64.b64encode(b'{"a":1}').decode()}, {"a": 1}),
        (
            {"data_base64": "/9j/", "datacontenttype": "image/jpeg"},
            {"data": {"content_type": "image/jpeg", "base64": "/9j/"}},
        ),
        ({"data": {"cloudevent": 5}}, {"cloudevent": 5}),
    ],
)
def test_structured_mode(event: dict[str, Any], fields: dict[str, Any]) -> None:
    """The data is the record, wherever in the event it lies; an event of another kind fills no place of inference."""
    found = document(send(structured(**event))[0])
    own = found["fields"].pop("cloudevent_" if "cloudevent" in fields else "cloudevent")
    assert own == {"id": "1", "source": "/s", "type": "t"}
    assert found == {"@timestamp": READ_AT, "labels": {"timestamp": "read"}, "fields": fields}


def test_batch_keeps_order_and_names_the_bad_one() -> None:
    """Good events are taken, the others named by their place and what is wrong with them."""
    events = [structured(id="a"), structured(id=""), structured(id="b"), 5, structured(specversion="0.3")]
    found = read_events({"Content-Type": "application/cloudevents-batch+json"}, json.dumps(events).encode())
    assert [document(line)["fields"]["cloudevent"]["id"] for line in found.lines] == ["a", "b"]
    assert [(index, sentence.split(";")[0]) for index, sentence in found.problems] == [
        (1, "the attribute `id` is missing or no text"),
        (3, found.problems[1].sentence),
        (4, "the attribute `specversion` is '0.3'"),
    ]
    assert found.problems[1].sentence.startswith("the event is not a JSON object")


@pytest.mark.parametrize("name", ["Ce-Id", "Ce-Source", "Ce-Type", "Ce-Specversion"])
@pytest.mark.parametrize("value", [None, ""])
def test_missing_attribute_is_named(name: str, value: str | None) -> None:
    """Each of the four that the specification requires."""
    headers = {k: v for k, v in KSERVE.items() if k != name} | ({} if value is None else {name: value})
    found = read_events(headers, b"{}")
    assert found.lines == []
    assert f"`{name.removeprefix('Ce-').lower()}`" in found.problems[0].sentence


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/cloudevents+json", b"{"),
        ("application/cloudevents+json", b"[]"),
        ("application/cloudevents+json", b'{"id": "\xff"}'),
        ("application/cloudevents+json", b'{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"%"}'),
        ("application/cloudevents-batch+json", b"{}"),
        ("application/cloudevents-batch+json", b"[{},"),
    ],
)
def test_broken_events_are_refused_with_a_reason(content_type: str, body: bytes) -> None:
    """Nothing is taken of what cannot be read."""
    found = read_events({"Content-Type": content_type}, body)
    assert found.lines == []
    assert len(found.problems) == 1


@pytest.mark.parametrize(
    ("headers", "claimed"),
    [
        ({}, False),
        ({"Content-Type": "application/json"}, False),
        ({"Ce-Id": "1", "X": "y"}, False),
        ({"CE-SpecVersion": ""}, True),
        ({"ce-type": "t"}, True),
        ({"Content-Type": "Application/CloudEvents+JSON; charset=utf-8"}, True),
        ({"Content-Type": "application/cloudevents-batch+json"}, True),
        ({"Content-Type": "application/cloudevents+avro"}, False),
    ],
)
def test_requests_that_bring_events(headers: dict[str, str], claimed: bool) -> None:
    """Those that say so; an event with an attribute missing is one too, or nobody would be told."""
    assert claims(CIMultiDict(headers)) is claimed


def test_empty_batch_is_in_order() -> None:
    """It brings nothing."""
    assert lines_of({"Content-Type": "application/cloudevents-batch+json"}, b" []") == []


def test_attributes_give_way_to_the_data() -> None:
    """A body that has a member of that name says it itself, and the attribute stays readable."""
    (line,) = lines_of(KSERVE, b'{"@timestamp": "2026-01-01T00:00:00Z", "ml.inference.id": "mine"}')
    found = document(line)
    assert (found["@timestamp"], found["ml"]["inference"]["id"]) == ("2026-01-01T00:00:00Z", "mine")
    assert found["fields"]["cloudevent"].items() >= {"time": KSERVE["Ce-Time"], "id": "5f0c2b6e"}.items()


HEADERS = st.dictionaries(
    st.sampled_from([*KSERVE, "ce-requestid", "ce-metadata", "ce-traceparent", "ce-data", "ce-", "ce-cloudevent"]),
    st.sampled_from(
        [*KSERVE.values(), "application/cloudevents+json", "application/cloudevents-batch+json", "{", "[1]"]
    )
    | st.text(max_size=8)
    | st.text(st.characters(categories=["Cs"]), max_size=2),
    max_size=8,
)
MEMBERS = ["specversion", "id", "source", "type", "time", "data", "data_base64", "datacontenttype", "metadata", ""]
VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=4) | st.sampled_from([*KSERVE.values(), float("nan"), "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *[
                        "specversion",
                        "id",
                        "source",
                        "type",
                        "time",
                        "data",
                        "data_base64",
                        "datacontenttype",
                        "metadata",
                    ],
                    "",
                ]
            ),
            inner,
            max_size=7,
        )
    ),
)
BODIES = st.binary(max_size=20) | VALUES.map(lambda value: json.dumps(value, indent=1).encode())


@settings(max_examples=500, deadline=None)
@given(HEADERS | HEADERS.map(lambda some: KSERVE | some), BODIES)
def test_any_request_comes_to_lines_or_reasons(headers: dict[str, str], body: bytes) -> None:
    """No request breaks it; each line is one line, and an object to the reader behind."""
    found = read_events(headers, body)
    batch = batch_of(found.lines)
    assert len(bodies(batch)) == len(found.lines)
    assert not any(b"\n" in line for line in found.lines)
    assert "parse_failed" not in batch.counts.noted
