"""Bodies of other protocols are told by their headers, before the content type is looked at."""

import pytest

from agent.inputs.http.answers import Refusal, Refused
from agent.inputs.http.dialect import Headers
from agent.inputs.http.input import PlainDialect
from agent.inputs.http.recognise import Recogniser

MAX_LINE = 64


def _events(headers: Headers, body: bytes) -> list[bytes]:
    if not body:
        raise Refusal(400, "an event is missing")
    return [b'{"id":"%b","data":%b}' % (headers["Ce-Id"].encode(), part) for part in body.split(b";")]


def _dialect() -> PlainDialect:
    recogniser = Recogniser(lambda headers: "Ce-Id" in headers, _events)
    return PlainDialect("/", all_or_nothing=False, max_line=MAX_LINE, recognisers=[recogniser])


def test_claimed_requests_are_read_by_who_claims_them() -> None:
    """Whatever their content type; the limit of a line goes for their events too."""
    exchange = _dialect().meet({"Ce-Id": "1", "Content-Type": "image/png"})
    refused = Refused()
    lines = [line for cut in exchange.cuts(b"1;" + b"2" * MAX_LINE, refused) for line in cut.lines]
    assert lines == [b'{"id":"1","data":1}']
    assert [number for number, _ in refused.first] == [2]
    assert exchange.answer(1, refused).status == 400


def test_their_refusals_are_the_answer() -> None:
    """Raised before anything is in the queue."""
    with pytest.raises(Refusal, match="an event is missing"):
        _dialect().meet({"Ce-Id": "1"}).cuts(b"", Refused())


def test_others_are_read_as_records() -> None:
    """By their content type."""
    cuts = _dialect().meet({"Content-Type": "text/plain"}).cuts(b"one\n", Refused())
    assert [line for cut in cuts for line in cut.lines] == [b"one"]
