"""Kinesis records in every form, whole and damaged."""

import gzip
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modeltail_lambda import kpl, unpack
from modeltail_lambda.document import NotADocument, read_document
from modeltail_lambda.unit import opened
from modeltail_lambda.unpack import Unreadable, documents_in

from tests.deploy.aws.stream import RUN, arrival, document, gzipped, joined

DOCUMENTS = [document(i) for i in range(5)]


@pytest.mark.parametrize(
    "data",
    [
        gzipped(DOCUMENTS),
        gzipped(DOCUMENTS[:2]) + gzipped(DOCUMENTS[2:]),
        gzip.compress(b"\n".join(DOCUMENTS)),
        joined(DOCUMENTS),
        b"\n".join(DOCUMENTS),
        b"\n".join(DOCUMENTS) + b"\n",
    ],
    ids=["gzip", "gzip members", "without last newline", "kpl", "plain", "plain with last newline"],
)
def test_every_form_holds_its_documents(data: bytes) -> None:
    """In their order, byte for byte."""
    assert documents_in(data) == DOCUMENTS


@given(st.lists(st.binary(min_size=1).filter(lambda data: b"\n" not in data), min_size=1, max_size=30))
def test_joined_records_are_those_of_the_aggregator(records: list[bytes]) -> None:
    """What AWS's own aggregator joins, the decoder takes apart."""
    assert kpl.user_records(joined(records)) == records


def test_fields_that_nobody_asked_for_are_stepped_over() -> None:
    """A message of a newer format is read as far as it is known."""
    record = b"\x08\x00" + b"\x1a\x02ab" + b"\x39" + bytes(8) + b"\x3d" + bytes(4)
    message = b"\x0a\x03key" + b"\x1a" + bytes([len(record)]) + record + b"\x50\x01"
    digest = hashlib.md5(message, usedforsecurity=False).digest()
    assert kpl.user_records(kpl.MAGIC + message + digest) == [b"ab"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (gzip.compress(b""), "empty"),
        (gzipped(DOCUMENTS)[:-1], "cut off"),
        (gzipped(DOCUMENTS) + b"rest", "incorrect header"),
        (joined(DOCUMENTS)[:-1], "checksum"),
        (kpl.MAGIC, "checksum"),
        (b"\x00\x01\x02", "neither"),
    ],
)
def test_damaged_record_is_unreadable(data: bytes, said: str) -> None:
    """It says what is wrong with it."""
    with pytest.raises(Unreadable, match=said):
        documents_in(data)


@given(st.integers(0, 10_000), st.integers(1, 255), st.sampled_from((gzipped(DOCUMENTS), joined(DOCUMENTS))))
def test_flipped_bits_never_pass_for_documents(at: int, mask: int, data: bytes) -> None:
    """A damaged record gives what it held, where the damage hit nothing of it, or is unreadable; it never raises."""
    damaged = bytearray(data)
    damaged[at % len(data)] ^= mask
    unit = opened(arrival(bytes(damaged)))
    assert [each.text for each in unit.documents] == DOCUMENTS or unit.bad


@given(st.binary(max_size=200), st.sampled_from((b"", b"\x1f\x8b", kpl.MAGIC, b"{")))
def test_anything_at_all_is_taken_apart_or_set_aside(data: bytes, start: bytes) -> None:
    """No bytes make the function fail."""
    unit = opened(arrival(start + data))
    assert unit.bad or not (start + data).strip()


def test_bomb_is_not_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than the limit is never held in memory."""
    monkeypatch.setattr(unpack, "MAX_INFLATED_BYTES", 1000)
    assert len(documents_in(gzip.compress(b"{" + b" " * 998 + b"}"))[0]) == 1000
    with pytest.raises(Unreadable, match="more than 1000 bytes"):
        documents_in(gzip.compress(b"{" + b" " * 999 + b"}"))


def test_joined_record_that_is_cut_short_inside_says_so() -> None:
    """A checksum that holds over a message that does not."""
    for message in (b"\x1a", b"\x1a\x05ab", b"\x1b", b"\xff" * 11, b"\x1a\x02\x08\x00", b"\x19\x00"):
        digest = hashlib.md5(message, usedforsecurity=False).digest()
        with pytest.raises(Unreadable, match="joined"):
            documents_in(kpl.MAGIC + message + digest)


def test_repeats_within_a_record_are_one_document() -> None:
    """As when an agent put the same batch into one record twice."""
    unit = opened(arrival(gzipped([DOCUMENTS[0], DOCUMENTS[1], DOCUMENTS[0]])))
    assert [each.text for each in unit.documents] == DOCUMENTS[:2]


@pytest.mark.parametrize(
    ("time", "hour"),
    [
        ("2026-11-22T10:59:59Z", ("2026-11-22", "10")),
        ("2026-11-22T10:59:59.999999999Z", ("2026-11-22", "10")),
        ("2026-11-22T23:30:00-01:00", ("2026-11-23", "00")),
        ("2026-11-22T00:15:00+05:45", ("2026-11-21", "18")),
    ],
)
def test_hour_is_that_of_the_event_in_utc(time: str, hour: tuple[str, str]) -> None:
    """Whatever zone was written."""
    found = read_document(document(1, time=time))
    assert (found.date, found.hour) == hour


def test_document_is_read_for_its_identity_alone() -> None:
    """Numbers that Python would not take, half a surrogate pair, and unknown fields do not matter."""
    text = document(17)[:-1] + b',"n":' + b"9" * 5000 + b',"s":"\\ud800","f":1E400}'
    found = read_document(text)
    assert (found.text, found.id, found.stream) == (text, f"{RUN}-1-7", "logs-modeltail.inference-default")
    assert found.place == "000000000000000100000007"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"[]", "not an object"),
        (b'"x"', "not an object"),
        (b"{", "not JSON"),
        (b'{"a":"\xff"}', "not JSON"),
        (b"[" * 100_000, "nested too deep"),
        (b"{}", "no 'event'"),
        (document(1, event={"id": "other"}), "event.id"),
        (document(1, event={"id": 5}), "event.id"),
        (document(1, event="x"), "not an object"),
        (document(1, data_stream={"dataset": "../x", "namespace": "default"}), "dataset"),
        (document(1, data_stream={"dataset": "x", "namespace": "a/b"}), "namespace"),
        (document(1, time="yesterday"), "@timestamp"),
        (document(1, time="2026-13-22T10:00:00+01:00"), "@timestamp"),
    ],
)
def test_line_that_is_no_document_is_told_from_one(text: bytes, said: str) -> None:
    """Each is set aside with the reason."""
    with pytest.raises(NotADocument, match=said):
        read_document(text)
