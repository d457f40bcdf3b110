"""Bytes to lines: any way a stream is cut into blocks gives the same lines."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.inputs.line_assembler import LineAssembler
from agent.inputs.lines import MAX_BATCH_BYTES, At, Cut, cut, room_for_line
from agent.record import MAX_BATCH_RECORDS

LIMIT = 8


def reference(stream: bytes) -> list[tuple[bytes, bool]]:
    """The lines of a whole stream, each with whether it was cut, the obvious way."""
    *ended, last = stream.split(b"\n")
    lines = [line.removesuffix(b"\r") for line in ended] + ([last] if last else [])
    return [(line[:LIMIT], len(line) > LIMIT) for line in lines]


def pieces(stream: bytes, cuts: list[int]) -> list[bytes]:
    """The stream cut at these places."""
    places = sorted({min(at, len(stream)) for at in cuts} | {0, len(stream)})
    return [stream[a:b] for a, b in pairwise(places)]


STREAMS = st.lists(st.sampled_from([b"\n", b"\r", b"\r\n", b"a", b"bcdefg", b"0123456789"]), max_size=30).map(b"".join)


@given(stream=STREAMS, places=st.lists(st.integers(0, 100), max_size=10))
@example(stream=b"12345678\r\nx", places=[8, 9])
@example(stream=b"12345678\r", places=[9])
def test_lines_do_not_depend_on_the_blocks_they_came_in(stream: bytes, places: list[int]) -> None:
    """Whatever the pieces: the same lines, the same marks, every byte accounted for once."""
    assembler = LineAssembler(LIMIT)
    found = [piece for data in pieces(stream, places) for piece in assembler.feed(data)]
    found += assembler.feed(b"", ended=True)
    assert [(line, piece.truncated) for piece in found for line in piece.lines] == reference(stream)
    assert sum(piece.end - piece.begin for piece in found) == len(stream)
    assert all(a.end == b.begin for a, b in pairwise(found))
    for piece in found:
        for start, line in zip(piece.starts, piece.lines, strict=True):
            assert stream[start : start + len(line)] == line


@given(stream=STREAMS, at=st.sampled_from(At), ended=st.booleans())
def test_a_cut_goes_on_where_it_stopped(stream: bytes, at: At, *, ended: bool) -> None:
    """Cuts are consecutive, begin where they were told to, and never reach beyond the data."""
    found = cut(stream, 1000, at, LIMIT, ended=ended)
    ends = [1000, *(piece.end for piece in found)]
    assert [piece.begin for piece in found] == ends[:-1]
    assert ends[-1] <= 1000 + len(stream)
    if ended and at is not At.REST:
        assert ends[-1] == 1000 + len(stream)
    assert len(stream) - (ends[-1] - 1000) < room_for_line(LIMIT)


@pytest.mark.parametrize(
    ("data", "at", "ended", "expected"),
    [
        (b"", At.LINE, True, []),
        (b"ab", At.LINE, False, []),
        (b"ab", At.LINE, True, [Cut([b"ab"], [5], 5, 7, At.LATE_END)]),
        (b"ab\ncd", At.LINE, False, [Cut([b"ab"], [5], 5, 8)]),
        (b"rest\ncd\n", At.REST, False, [Cut([b"cd"], [10], 5, 13)]),
        (b"rest", At.REST, False, [Cut([], [], 5, 9, At.REST)]),
        (b"rest", At.REST, True, [Cut([], [], 5, 9, At.REST)]),
        (b"\r", At.LATE_END, False, []),
        (b"\r", At.LATE_END, True, [Cut([], [], 5, 6, At.LATE_END)]),
        (b"\r\nab\n", At.LATE_END, False, [Cut([b"ab"], [7], 5, 10)]),
        (b"\n", At.LATE_END, False, [Cut([], [], 5, 6)]),
        (b"more\n", At.LATE_END, False, [Cut([b"more"], [5], 5, 10)]),
        (
            b"123456789\nx\n",
            At.LINE,
            False,
            [Cut([b"12345678"], [5], 5, 15, truncated=True), Cut([b"x"], [15], 15, 17)],
        ),
        (b"1234567890", At.LINE, False, [Cut([b"12345678"], [5], 5, 15, At.REST, truncated=True)]),
        (b"123456789", At.LINE, True, [Cut([b"12345678"], [5], 5, 14, At.REST, truncated=True)]),
    ],
)
def test_cutting(data: bytes, at: At, expected: list[Cut], *, ended: bool) -> None:
    """What becomes of a block, by what it begins in and whether more may come."""
    assert cut(data, 5, at, LIMIT, ended=ended) == expected


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("1234567é".encode(), b"1234567"),
        ("123456é9".encode(), "123456é".encode()),
        ("12345€xyz".encode(), "12345€".encode()),
        ("123456€yz".encode(), b"123456"),
        ("12345😀z".encode(), b"12345"),
        (b"1234\x80\x80\x80\x80\x80\x80\x80", b"1234\x80\x80\x80\x80"),
    ],
)
def test_an_over_long_line_is_not_cut_within_a_character(line: bytes, kept: bytes) -> None:
    """UTF-8 stays UTF-8; what is not UTF-8 is cut at the limit."""
    (piece,) = cut(line + b"\n", 0, At.LINE, LIMIT)
    assert piece.lines == [kept]
    assert piece.truncated


@given(lengths=st.lists(st.integers(0, 400_000), min_size=1, max_size=12), many=st.integers(0, 9000))
def test_batches_stay_within_their_limits(lengths: list[int], many: int) -> None:
    """By records and by bytes; only a single line may be larger."""
    data = b"\n" * many + b"".join(b"x" * n + b"\n" for n in lengths)
    found = cut(data, 0, At.LINE, 10**9)
    assert all(len(piece.lines) <= MAX_BATCH_RECORDS for piece in found)
    assert all(piece.end - piece.begin <= MAX_BATCH_BYTES or len(piece.lines) == 1 for piece in found)
    assert sum(len(piece.lines) for piece in found) == many + len(lengths)


def test_a_line_in_many_pieces_is_joined_once() -> None:
    """A line that trickles in byte by byte costs no more than its length."""
    assembler = LineAssembler(1024**2)
    for _ in range(100_000):
        assert assembler.feed(b"x") == []
    (piece,) = assembler.feed(b"\n")
    assert piece.lines == [b"x" * 100_000]
