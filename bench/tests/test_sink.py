"""The sink's answers, over a real connection where that matters."""

import gzip
import json
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from bench.records import blocks, missing_and_extra
from bench.sink import bulk_answer
from bench.steer import SinkControl, TimeUp, sink

BODY = (
    b'{"create":{"_id":"a-1"}}\n{"x":{"create":{"_id":"no"}}}\n'
    b'{"create": {"_index":"i","_id":"b"}}\n{}\n'
    b'{"index":{}}\n{}\n'
)


@pytest.fixture(scope="module")
def tap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SinkControl]:
    """A running sink."""
    with sink(tmp_path_factory.mktemp("sink") / "log") as control:
        yield control


def bulk(records: int) -> bytes:
    """The first records of the log as a bulk body."""
    return b"".join(b'{"create":{}}\n' + line for line in b"".join(blocks(records)).splitlines(keepends=True))


def post(
    tap: SinkControl, body: bytes, headers: dict[str, str], *, chunked: bool = False
) -> tuple[int, dict[str, object]]:
    """One bulk over a connection of its own."""
    connection = HTTPConnection("127.0.0.1", tap.port, timeout=10)
    try:
        pieces = iter([body[:100], body[100:]]) if chunked else body
        connection.request("POST", "/logs/_bulk", pieces, headers, encode_chunked=chunked)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("filter_path=errors", {"errors": False}),
        ("filter_path=errors,items.*.error.type", {"errors": False}),
        ("filter_path=errors,items.*.status", {"errors": False, "items": [{"create": {"status": 201}}] * 3}),
        ("filter_path=items.create._id", {"items": [{"create": {"_id": i}} for i in ("a-1", "b", "generated-2")]}),
    ],
)
def test_the_answer_has_what_the_filter_asks_for(query: str, answer: object) -> None:
    """As Elasticsearch cuts it: an item of which nothing is left is not listed."""
    assert json.loads(bulk_answer(query, BODY, 3)) == answer


def test_an_unfiltered_answer_names_every_action() -> None:
    """Ids come back in the order of the actions; text that looks like an action inside a document is none."""
    answer = json.loads(bulk_answer("", BODY, 3))
    assert [item["create"]["_id"] for item in answer["items"]] == ["a-1", "b", "generated-2"]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_bulks_are_counted_however_they_are_sent(tap: SinkControl, packed: bool, chunked: bool) -> None:
    """Plain or gzip, with a length or in chunks: each record counts once, under its own id."""
    tap.reset()
    body = bulk(50)
    headers = {"Content-Encoding": "gzip"} if packed else {}
    headers |= {"Transfer-Encoding": "chunked"} if chunked else {}
    status, answer = post(tap, gzip.compress(body) if packed else body, headers, chunked=chunked)
    assert (status, answer["errors"]) == (200, False)
    assert tap.counts()["records"] == 50
    assert tap.counts()["raw_bytes"] == len(body)
    assert missing_and_extra(50, tap.ids()) == (0, 0)
    assert [n for _, n in tap.arrivals()] == [50]


def test_a_sink_that_holds_counts_nothing(tap: SinkControl) -> None:
    """What was refused with 503 did not arrive."""
    tap.reset()
    tap.hold()
    assert post(tap, bulk(3), {})[0] == 503
    tap.release()
    assert tap.counts()["records"] == 0
    assert post(tap, bulk(3), {})[0] == 200
    assert tap.counts()["records"] == 3


def test_waiting_ends_when_the_records_do_not_come(tap: SinkControl) -> None:
    """A contender that lost records must not hang the benchmark."""
    tap.reset()
    with pytest.raises(TimeUp, match="0 of 1 records"):
        tap.wait_for(1, within_secs=0)


def test_an_installed_template_applies(tap: SinkControl) -> None:
    """An agent that checks its set-up finds what it has put there, and not before."""
    connection = HTTPConnection("127.0.0.1", tap.port, timeout=10)

    def ask(method: str, path: str, body: object = None) -> dict[str, object]:
        connection.request(method, path, json.dumps(body) if body else None)
        answer: dict[str, object] = json.loads(connection.getresponse().read())
        return answer

    simulate = "/_index_template/_simulate_index/logs-modeltail.inference-default?filter_path=template"
    assert ask("POST", simulate) == {"template": {"settings": {}, "mappings": {}, "aliases": {}}, "overlapping": []}
    template = {
        "index_patterns": ["logs-modeltail.*"],
        "priority": 250,
        "template": {"mappings": {"_meta": {"version": 1}}},
    }
    assert ask("PUT", "/_index_template/logs-modeltail", template) == {"acknowledged": True}
    assert ask("POST", simulate)["template"] == {"settings": {}, "mappings": {"_meta": {"version": 1}}, "aliases": {}}
    connection.close()


def test_a_sink_ends_with_its_harness(tmp_path: Path) -> None:
    """Nothing is left behind, and nothing was said on standard error."""
    with sink(tmp_path / "log") as control:
        port = control.port
        control.counts()
    with pytest.raises(OSError, match="refused"):
        HTTPConnection("127.0.0.1", port, timeout=5).connect()
    assert (tmp_path / "log").read_text() == ""
