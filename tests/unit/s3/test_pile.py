"""Records sorted by run and hour, and what their objects are called."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.delivery.contract import DeliveryBatch
from agent.form import Form
from agent.outputs.s3.contents import Unreadable, documents_in, ids_in, known
from agent.outputs.s3.name import Name, Span, file_name, hour_folder, joined, read_hour, read_id, read_name
from agent.outputs.s3.pile import hour_of, pile_up
from agent.processors.enrich import enrich
from agent.processors.normalise import Normaliser, NormaliseSettings
from agent.processors.normalise.times import CANONICAL
from agent.record import RunId, record_id
from agent.render import render
from tests.fakes.batches import STREAM, batch_of, frame_of
from tests.unit.normalise.documents import batch_of as read

RUN = RunId(1_763_805_600 * 10**9, bytes(8)).text
"""Began at 2025-11-22T10:00:00Z."""


@pytest.mark.parametrize(
    ("time", "hour"),
    [
        ("2026-11-22T10:00:00Z", "2026-11-22T10"),
        ("2026-11-22T10:59:59.999999999Z", "2026-11-22T10"),
        ("2026-11-22T10:00:00+00:00", "2026-11-22T10"),
        ("2026-11-22T00:30:00+01:00", "2026-11-21T23"),
        ("2026-11-22T10:45:00-05:30", "2026-11-22T16"),
        ("2026-12-31T23:30:00-01:00", "2027-01-01T00"),
        ("1970-01-01T00:00:00+01:00", "1969-12-31T23"),
        ("2026-13-22T10:00:00+01:00", "1970-01-01T00"),
        ("0001-01-01T00:00:00+01:00", "1970-01-01T00"),
        ("yesterday", "2025-11-22T10"),
    ],
)
def test_hour_is_that_of_the_event_in_utc(time: str, hour: str) -> None:
    """A time that is none leaves the hour in which the run began, or the first of all."""
    assert hour_of(b'{"@timestamp":"%s","message":"x"}' % time.encode(), RUN) == hour


def test_only_a_time_at_the_beginning_counts() -> None:
    """What a record says of itself elsewhere does not move it."""
    assert hour_of(b'{"message":"{\\"@timestamp\\":\\"2026-11-22T12:00:00Z\\""}', RUN) == "2025-11-22T10"


TIMES = ["2026-11-22T10:00:00Z", "2026-11-22T10:30:00.5Z", "2026-11-22T11:00:00+01:00", "2026-11-22T12:00:00Z", "none"]
TRAPS = ["", '{"create":{"_id":"x"}}', '{"@timestamp":"2026-11-22T10:00:00Z"', "\\n"]
documents = st.builds(
    lambda time, trap: b'{"@timestamp":"%s","message":"%s"}' % (time.encode(), trap.replace('"', '\\"').encode()),
    st.sampled_from(TIMES),
    st.sampled_from(TRAPS),
)
usual = st.lists(st.just(b'{"@timestamp":"2026-11-22T10:00:00Z","x":{"create":{"_id":"y"}}}'), min_size=1, max_size=4)


large = st.integers(1, 3).map(lambda n: [b'{"@timestamp":"2026-11-22T10:00:00Z","pad":"%s"}' % (b"x" * 70_000)] * n)
frames = st.lists(usual | large | st.lists(documents, min_size=1, max_size=4), min_size=1, max_size=4)


@given(frames, st.sampled_from(Form), st.booleans())
def test_whole_frames_and_single_records_make_the_same_objects(
    frames: Sequence[Sequence[bytes]], form: Form, knows_hour: bool
) -> None:
    """The same names, the same lines; each record in the hour that it has by itself. A frame may know its hour, and is
    then not looked into."""
    made = []
    for number, records in enumerate(frames):
        hours = {hour_of(record, RUN) for record in records}
        is_known = knows_hour and len(hours) == 1 and all(b'Z"' in record[:40] for record in records)
        made.append(frame_of(RUN, number, records, form=form, hour=hours.pop() if is_known else ""))
    whole = DeliveryBatch(STREAM, [frame for frame, _ in made], [body for _, body in made])
    single = DeliveryBatch.of_documents(whole.stream, whole.ids(), whole.documents())
    assert _objects(whole) == _objects(single)
    lines = [(hour, line) for (hour, _), lines in _objects(whole).items() for line in lines]
    assert sorted(lines) == sorted((hour_of(document, RUN), document) for document in whole.documents())


times = (
    st.from_regex(CANONICAL, fullmatch=True)
    | st.sampled_from([*TIMES, "2026-11-22 10:00:00Z", "2026-11-22T10:00:00,5", "2026-11-22T10:60:00Z"])
    | st.builds("2026-11-22T10:{:02}:{:02}Z".format, st.integers(0, 70), st.integers(0, 70))
    | st.integers(10**9, 10**19)
)
lines = st.builds(
    lambda key, time: b'{"%s":%s,"message":"x"}' % (key.encode(), json.dumps(time).encode()),
    st.sampled_from(["@timestamp", "ts", "message.time", "timestamp"]),
    times,
) | times.map(lambda time: f"{time} INFO served".encode())


@given(st.lists(lines, min_size=1, max_size=5))
def test_hour_of_the_queue_is_that_of_each_record(lines: list[bytes]) -> None:
    """However its time was written: a record goes to the same folder in whatever form it lies."""
    batch = enrich(Normaliser(NormaliseSettings(timezone="UTC"))(read(lines)), {})
    for made in render(batch, RUN, 1, form=Form.NDJSON):
        hours = {hour_of(document, RUN) for document in made.lines.split(b"\n")[:-1]}
        assert not made.hour or hours == {made.hour}


def test_large_frame_of_one_hour_is_taken_as_it_lies() -> None:
    """Between what has to be compressed first, in order."""
    small, big = [b'{"@timestamp":"2026-11-22T10:00:00Z"}'], [b'{"@timestamp":"2026-11-22T10:00:00Z","n":1}'] * 2000
    batch = batch_of(small, big, small, run=RUN, form=Form.NDJSON, hour="2026-11-22T10")
    (pile,) = pile_up(batch, compresses=True)
    assert batch.bodies[1] in pile.gzip()
    assert list(documents_in("x.ndjson.gz", pile.gzip())) == batch.documents()


def _objects(batch: DeliveryBatch) -> dict[tuple[str, str], list[bytes]]:
    piles = pile_up(batch, compresses=True)
    return {
        (pile.hour, file_name(pile.run, pile.spans, "ndjson.gz")): list(documents_in("x.ndjson.gz", pile.gzip()))
        for pile in piles
    }


def test_large_pile_is_compressed_on_the_way() -> None:
    """And comes back whole."""
    documents = [b'{"@timestamp":"2026-11-22T10:00:00Z","n":%d,"pad":"%s"}' % (n, b"x" * 1000) for n in range(3000)]
    (pile,) = pile_up(batch_of(documents[:1500], documents[1500:], run=RUN), compresses=True)
    assert list(documents_in("x.ndjson.gz", pile.gzip())) == documents


numbers = st.sets(st.tuples(st.integers(0, 300), st.integers(0, 5)), min_size=1, max_size=12)


@given(numbers)
def test_name_is_that_of_the_set(chosen: set[tuple[int, int]]) -> None:
    """In whatever order and pieces the records came; and it says from which to which, and how many."""
    spans = [Span(batch, index, 1) for batch, index in chosen]
    name = file_name(RUN, spans, "parquet")
    assert name == file_name(RUN, joined(reversed(spans)), "parquet")
    assert read_name(f"a/{name}") == Name(RUN, min(chosen), max(chosen), len(chosen))
    assert {(s.batch, s.first + i) for s in joined(spans) for i in range(s.records)} == chosen


@given(numbers, numbers)
def test_different_sets_have_different_names(one: set[tuple[int, int]], other: set[tuple[int, int]]) -> None:
    """Also with the same first, last and count."""
    names = {file_name(RUN, [Span(batch, index, 1) for batch, index in chosen], "parquet") for chosen in (one, other)}
    assert len(names) == (1 if one == other else 2)


def test_same_ends_and_count_are_not_the_same_records() -> None:
    """What the digest is for."""
    names = {file_name(RUN, [Span(1, 0, 1), Span(1, middle, 1), Span(1, 9, 1)], "ndjson.gz") for middle in (4, 5)}
    assert len({name.rpartition("_")[0] for name in names}) == 1
    assert len(names) == 2


@pytest.mark.parametrize("key", ["", "a/b", "a/report.parquet", f"a/{RUN}-0-0_other-0-1_2_{'0' * 16}.parquet"])
def test_other_objects_are_not_ours(key: str) -> None:
    """Nobody else's name is read as ours."""
    assert read_name(key) is None


def test_place_is_read_back() -> None:
    """The hour from a key, the parts from an id."""
    assert read_hour(hour_folder("p/", "a.b", "2026-11-22T07") + "x") == "2026-11-22T07"
    assert read_hour("elsewhere/x") is None
    assert read_id(record_id(RUN, 26, 255)) == (RUN, 26, 255)


@pytest.mark.parametrize("body", [b"", b"not gzip", "whole"])
def test_object_that_is_cut_or_foreign_is_unreadable(body: bytes | str) -> None:
    """Never a part of it taken for the whole without a word."""
    if isinstance(body, str):
        (pile,) = pile_up(batch_of([b'{"@timestamp":"2026-11-22T10:00:00Z"}'] * 9, run=RUN), compresses=True)
        body = pile.gzip()[:-9]
    with pytest.raises(Unreadable):
        list(documents_in("x.ndjson.gz", body))
    with pytest.raises(Unreadable):
        list(documents_in("x.parquet", body))


@pytest.mark.parametrize(
    "odd", [b'"\\ud800"', b"1e999", b"12345678901234567890123456789", b'{"event":{"id":"other"}}', b'[{"id":"x"}]']
)
def test_id_is_read_whatever_stands_beside_it(odd: bytes) -> None:
    """Only `event.id` at its place is the id."""
    document = b'{"@timestamp":"2026-11-22T10:00:00Z","ml":{"inputs":%s},"event":{"id":"it"},"id":"x"}' % odd
    (pile,) = pile_up(batch_of([document], run=RUN), compresses=True)
    assert ids_in("x.ndjson.gz", pile.gzip(), {"it", "x", "other"}) == {"it"}
    assert known(document).event.id == "it"
