"""Cursors: finishing in any order, dropping by policy, and slots that survive a torn write."""

from hypothesis import given
from hypothesis import strategies as st

from agent.queue.cursor import SLOT_BYTES, Cursor, Range, decode_slot, encode_cursor, encode_slot


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_finishing_in_any_order_ends_at_the_same_place(counts: list[int], random: object) -> None:
    """Whatever the order in which frames are finished, the cursor stands behind all of them, and balances at every
    step."""
    ranges, total = [], 0
    for seq, n in enumerate(counts, 1):
        total += n
        ranges.append(Range(seq, seq, n, total))
    random.shuffle(ranges)  # type: ignore[attr-defined]
    cursor = Cursor()
    for done in ranges:
        cursor.finish(done, {"delivered": done.records})
        assert cursor.balances
    assert (cursor.low, cursor.low_total, cursor.done) == (len(counts), total, [])
    assert cursor.passed == total


@given(
    st.lists(st.integers(0, 9), min_size=2, max_size=20),
    st.sets(st.integers(1, 20)),
    st.integers(1, 20),
)
def test_dropping_counts_exactly_what_was_not_finished(counts: list[int], finished: set[int], through: int) -> None:
    """Records dropped by policy are those of unfinished frames; finishing a dropped frame later changes nothing."""
    totals = [sum(counts[: i + 1]) for i in range(len(counts))]
    through = min(through, len(counts))
    cursor = Cursor()
    for seq in sorted(finished):
        if seq <= len(counts):
            n = counts[seq - 1]
            cursor.finish(Range(seq, seq, n, totals[seq - 1]), {"delivered": n})
    cursor.drop_through(through, totals[through - 1], "dropped.queue_full")
    assert cursor.balances
    for seq, n in enumerate(counts, 1):
        if not cursor.is_done(seq) or seq <= through:
            cursor.finish(Range(seq, seq, n, totals[seq - 1]), {"delivered": n})
    assert cursor.balances
    assert cursor.low == len(counts)
    unfinished = sum(n for seq, n in enumerate(counts, 1) if seq not in finished)
    assert cursor.counts.get("dropped.queue_full", 0) <= unfinished


def test_damaged_slot_is_no_cursor() -> None:
    """Any flipped byte of a slot's used part makes it unreadable."""
    slot = encode_slot(encode_cursor(Cursor(low=5, low_total=9, counts={"delivered": 9})), 3)
    assert len(slot) == SLOT_BYTES
    found = decode_slot(slot)
    assert found is not None
    assert (found[0].low, found[1]) == (5, 3)
    used = len(slot.rstrip(b"\0"))
    for i in range(used):
        bad = bytearray(slot)
        bad[i] ^= 0x40
        assert decode_slot(bytes(bad)) is None


def test_empty_file_is_no_cursor() -> None:
    """Zeros, as a freshly made file has them, hold nothing."""
    assert decode_slot(bytes(SLOT_BYTES)) is None
    assert decode_slot(b"") is None
