"""Rendering: tables as lines of JSON in each form, with ids, in order, within a size."""

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.form import Form, documents, packed
from agent.record import MAX_BATCH_RECORDS, Batch, Counts, Documents, Table, record_id
from agent.render import render

RUN = "019ab2c4d5e60123456789abcdef"


def batch_of(*tables: Table) -> Batch:
    """A batch with these tables."""
    return Batch("in", None, 0, [], {}, {}, Counts(), list(tables))


def pairs(documents: Documents) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Action lines and documents, decoded."""
    assert documents.lines.endswith(b"\n")
    lines = [json.loads(line) for line in documents.lines[:-1].split(b"\n")]
    assert len(lines) == 2 * documents.count
    return list(zip(lines[::2], lines[1::2], strict=True))


def test_action_line_and_document_carry_the_record_id() -> None:
    """The action line is ``create`` with the id and nothing else; the document's ``event.id`` is the same."""
    table = Table(("message",), [[b'"a"', b'"b"']], [0, 1])
    (made,) = render(batch_of(table), RUN, 0x2A)
    assert (made.stream, made.batch, made.first, made.count) == ("modeltail.inference-default", 0x2A, 0, 2)
    for index, (action, document) in enumerate(pairs(made)):
        assert action == {"create": {"_id": record_id(RUN, 0x2A, index)}}
        assert document["event"]["id"] == record_id(RUN, 0x2A, index)


def test_places_nest_and_constants_fold_in() -> None:
    """Dotted places become objects, columns and constants side by side; behind ``fields`` and ``labels`` is one key."""
    table = Table(
        ("@timestamp", "log.level", "fields.a.b", "fields.", 'fields.q"\n', "labels.x.y"),
        [[b'"t"'], [b'"info"'], [b"1.10"], [b"2"], [b"3"], [b'"z"']],
        [0],
        constants={"log.file.path": b'"/p"', "event.dataset": b'"d"', "labels.c": b'"k"'},
    )
    ((_, document),) = pairs(render(batch_of(table), RUN, 1)[0])
    assert document == {
        "@timestamp": "t",
        "log": {"file": {"path": "/p"}, "level": "info"},
        "event": {"dataset": "d", "id": record_id(RUN, 1, 0)},
        "fields": {"": 2, "a.b": 1.10, 'q"\n': 3},
        "labels": {"c": "k", "x.y": "z"},
    }


def test_values_keep_their_text() -> None:
    """A value stands in the document exactly as it was given."""
    values = [b"1.10", b"1e400", b'"\\ud800\\u00e9"', b'{"a" : [1.0,  2]}', b'"\\"}}\\n{\\"create\\":{}}"']
    (made,) = render(batch_of(Table(("fields.x",), [values], range(len(values)))), RUN, 1)
    for value, line in zip(values, made.lines.split(b"\n")[1::2], strict=False):
        assert b'"fields":{"x":' + value + b"}" in line


def test_order_of_places_does_not_change_the_document() -> None:
    """The same places in another order, or as constants, are the same bytes."""
    one = Table(("message", "log.level"), [[b'"m"'], [b'"info"']], [0])
    other = Table(("log.level", "message"), [[b'"info"'], [b'"m"']], [0])
    third = Table(("message",), [[b'"m"']], [0], constants={"log.level": b'"info"'})
    assert len({render(batch_of(table), RUN, 1)[0].lines for table in (one, other, third)}) == 1


def test_tables_interleave_in_row_order() -> None:
    """Rows of several tables come in the order of the batch's lines, and so do their ids."""
    even = Table(("message",), [[b'"0"', b'"2"', b'"4"']], [0, 2, 4])
    odd = Table(("message", "fields.odd"), [[b'"1"', b'"5"'], [b"true"] * 2], [1, 5])
    (made,) = render(batch_of(odd, even), RUN, 1)
    found = [(document["message"], document["event"]["id"]) for _, document in pairs(made)]
    assert found == [(message, record_id(RUN, 1, index)) for index, message in enumerate("01245")]


def test_ids_run_on_over_data_streams() -> None:
    """Each data stream's ids run without gaps from its ``first``; over the batch no index is given twice."""
    one = Table(("message",), [[b'"a"', b'"c"']], [0, 2])
    two = Table(("message",), [[b'"b"']], [1], dataset="other", namespace="prod")
    made = render(batch_of(one, two), RUN, 9)
    assert [(part.stream, part.first, part.count) for part in made] == [
        ("modeltail.inference-default", 0, 2),
        ("other-prod", 2, 1),
    ]
    assert [action["create"]["_id"] for part in made for action, _ in pairs(part)] == [
        record_id(RUN, 9, index) for index in range(3)
    ]


@given(
    st.lists(st.integers(0, 300), min_size=1, max_size=20),
    st.integers(1, 1500),
    st.booleans(),
)
def test_parts_are_cut_between_records(lengths: list[int], max_bytes: int, two_tables: bool) -> None:
    """Parts joined are the whole; each is within the limit or a single record; none could take the next one's first."""
    column = [b'"' + b"x" * length + b'"' for length in lengths]
    rows = range(len(column))
    tables = (
        [Table(("message",), [column[i::2]], rows[i::2]) for i in (0, 1)]
        if two_tables
        else [Table(("message",), [column], rows)]
    )
    whole = render(batch_of(*tables), RUN, 1)[0].lines
    parts = render(batch_of(*tables), RUN, 1, max_bytes)
    assert b"".join(part.lines for part in parts) == whole
    first = 0
    for part in parts:
        assert part.first == first
        assert len(pairs(part)) == part.count
        assert len(part.lines) <= max_bytes or part.count == 1
        first += part.count
    for part, following in pairwise(parts):
        next_record = sum(map(len, following.lines.splitlines(keepends=True)[:2]))
        assert len(part.lines) + next_record > max_bytes


def test_full_batch() -> None:
    """The largest batch there is has ids to its end."""
    (made,) = render(batch_of(Table(("message",), [[b'"a"'] * MAX_BATCH_RECORDS], range(MAX_BATCH_RECORDS))), RUN, 1)
    assert pairs(made)[-1][0]["create"]["_id"] == record_id(RUN, 1, MAX_BATCH_RECORDS - 1)


@pytest.mark.parametrize("tables", [[], [Table(("message",), [[]], [])]])
def test_nothing_to_render(tables: list[Table]) -> None:
    """A batch whose records were all dropped has no documents."""
    assert render(batch_of(*tables), RUN, 1) == []


def test_many_places() -> None:
    """Thousands of keys render; they are not remembered."""
    places = tuple(f"fields.k{i}" for i in range(5000))
    ((_, document),) = pairs(render(batch_of(Table(places, [[b"%d" % i] for i in range(5000)], [0])), RUN, 1)[0])
    assert document["fields"] == {f"k{i}": i for i in range(5000)}


@pytest.mark.parametrize("places", [("log", "log.level"), ("log.level", "log")])
def test_place_within_another_is_a_mistake_of_ours(places: tuple[str, str]) -> None:
    """No document can hold both; it is refused, not written with a key twice."""
    with pytest.raises(ValueError, match="within"):
        render(batch_of(Table(places, [[b"1"], [b"2"]], [0])), RUN, 1)


@pytest.mark.parametrize("form", Form)
def test_documents_are_the_same_in_every_form(form: Form) -> None:
    """Also where tables lie among one another, and where the whole is cut."""
    tables = [
        Table(("message", "@timestamp"), [[b'"a"', b'"b"'], [b'"2026-11-22T10:00:00Z"'] * 2], [0, 2]),
        Table(("log.level",), [[b'"info"', b'"warn"']], [1, 3], constants={"message": b'"c"'}),
    ]
    bulk = [document for made in render(batch_of(*tables), RUN, 1) for _, document in pairs(made)]
    for max_bytes in (1, 4 * 1024**2):
        made = render(batch_of(*tables), RUN, 1, max_bytes, form)
        assert {part.form for part in made} == {form}
        texts = [text for part in made for text in documents(form, bytes(packed(form, part.lines)))]
        assert [json.loads(text) for text in texts] == bulk


def _hour(*tables: Table) -> str:
    (made,) = render(batch_of(*tables), RUN, 1, form=Form.NDJSON)
    return made.hour


def test_hour_is_known_when_all_times_begin_with_it() -> None:
    """Of every table, as a column or as what is the same for all."""
    column = [b'"2026-11-22T10:00:00Z"', msgspec.Raw(b'"2026-11-22T10:59:59.999Z"')]
    one = Table(("@timestamp",), [column], [0, 1])
    same = Table(("message",), [[b'"x"']], [2], constants={"@timestamp": b'"2026-11-22T10:30:00Z"'})
    assert _hour(one) == _hour(same) == _hour(one, same) == "2026-11-22T10"


@pytest.mark.parametrize(
    "other",
    [b'"2026-11-22T11:00:00Z"', b'"2026-11-22T10:00:00+01:00"', b'"x"', b"1", b'"\\"2026-11-22T10:00:00Z"', None],
)
def test_hour_is_not_known_when_one_time_is_another(other: bytes | None) -> None:
    """Or has another zone, or is none."""
    table = Table(("@timestamp",), [[b'"2026-11-22T10:00:00Z"']], [0])
    another = Table(("message",), [[b'"x"']], [1], constants={"@timestamp": other} if other else {})
    assert _hour(table, another) == ""
    if other:
        assert _hour(Table(("@timestamp",), [[b'"2026-11-22T10:00:00Z"', other]], [0, 1])) == ""
        assert _hour(Table(("@timestamp",), [[other, b'"2026-11-22T10:00:00Z"']], [0, 1])) == ""


def test_parts_keep_the_hour_of_the_whole() -> None:
    """Cut or not, their times lie in it."""
    table = Table(("@timestamp",), [[b'"2026-11-22T10:00:00Z"'] * 3], [0, 1, 2])
    assert {part.hour for part in render(batch_of(table), RUN, 1, 1, Form.NDJSON)} == {"2026-11-22T10"}
