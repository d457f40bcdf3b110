"""What one append writes: batches as frames."""

import random

from hypothesis import given
from hypothesis import strategies as st

from agent.form import Form
from agent.queue.frame import ALONE_BYTES, documents_in, ids_of, inflate
from agent.queue.group import Entry, deflate_large, encode_group
from agent.record import Counts, Documents, record_id
from tests.fakes.batches import document, lines_of

SIZES = st.integers(1, 300) | st.integers(ALONE_BYTES - 2, ALONE_BYTES + 2)


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), SIZES), min_size=1, max_size=8), st.integers(0, 255))
def test_deflating_early_changes_no_document(batches: list[tuple[str, int]], deflated_early: int) -> None:
    """Whichever batches were deflated before the group was made, its frames hold the same documents in the same
    order, each data stream's for itself, and say so truly."""
    entries = []
    for number, (stream, size) in enumerate(batches):
        ndjson = random.Random(number).randbytes(size // 2).hex().encode().ljust(size, b"x")
        entries.append(Entry("in", [Documents(stream, number, 0, 1, ndjson)], None, Counts(accepted=1)))
        if deflated_early >> number & 1:
            deflate_large(entries[-1])
    group = encode_group("run", 0, 0, entries, {})
    found: dict[str, bytes] = {}
    parts: dict[str, list[int]] = {}
    for stored in group.stored:
        stream = stored.frame.meta.stream
        ndjson = inflate(stored.frame, stored.body)
        assert stored.frame.count == len(stored.frame.meta.parts)
        found[stream] = found.get(stream, b"") + ndjson
        parts.setdefault(stream, []).extend(part.batch for part in stored.frame.meta.parts)
    for stream in {stream for stream, _ in batches}:
        numbers = [number for number, (of, _) in enumerate(batches) if of == stream]
        assert parts[stream] == numbers
        assert found[stream] == b"".join(entries[number].documents[0].lines for number in numbers)


HOURS = st.sampled_from(["", "2026-11-22T10", "2026-11-22T11"])
written = st.tuples(st.sampled_from(Form), HOURS, st.lists(SIZES | st.just(2560), min_size=1, max_size=12))


@given(st.lists(written, min_size=1, max_size=6), st.integers(0, 63))
def test_frames_hold_one_form_and_only_an_hour_that_is_all_theirs(
    batches: list[tuple[Form, str, list[int]]], deflated_early: int
) -> None:
    """Whatever was written together: every record is there, in order, numbered through its frame."""
    entries: list[Entry] = []
    hours: dict[str, str] = {}
    records = {form: dict[str, bytes]() for form in Form}
    for number, (form, hour, sizes) in enumerate(batches):
        made = {record_id("run", number, i): document(i, pad="x" * size) for i, size in enumerate(sizes)}
        records[form] |= made
        hours |= dict.fromkeys(made, hour)
        documents = Documents("s", number, 0, len(made), lines_of(made.items(), form), form, hour)
        entries.append(Entry("in", [documents], None, Counts(accepted=len(made))))
        if deflated_early >> number & 1:
            deflate_large(entries[-1])
    found = {form: dict[str, bytes]() for form in Form}
    for stored in encode_group("run", 0, 0, entries, {}).stored:
        ids = ids_of(stored.frame)
        found[stored.frame.form] |= dict(zip(ids, documents_in(stored.frame, stored.body), strict=True))
        assert not stored.frame.hour or {hours[record] for record in ids} == {stored.frame.hour}
    assert {form: list(of.items()) for form, of in found.items()} == {
        form: list(of.items()) for form, of in records.items()
    }


def test_only_large_documents_are_deflated_early() -> None:
    """What is small is left to be deflated with its neighbours: alone it would hardly become smaller."""
    small, large = Documents("a", 1, 0, 1, b"x" * (ALONE_BYTES - 1)), Documents("a", 2, 0, 1, b"x" * ALONE_BYTES)
    deflate_large(Entry("in", [small, large], None, Counts()))
    assert small.deflated is None
    assert large.deflated is not None
