"""What one append writes: batches as frames."""

import random

from hypothesis import given
from hypothesis import strategies as st

from agent.queue.frame import inflate
from agent.queue.group import ALONE_BYTES, Entry, deflate_large, encode_group
from agent.record import Counts, Documents

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


def test_only_large_documents_are_deflated_early() -> None:
    """What is small is left to be deflated with its neighbours: alone it would hardly become smaller."""
    small, large = Documents("a", 1, 0, 1, b"x" * (ALONE_BYTES - 1)), Documents("a", 2, 0, 1, b"x" * ALONE_BYTES)
    deflate_large(Entry("in", [small, large], None, Counts()))
    assert small.deflated is None
    assert large.deflated is not None
