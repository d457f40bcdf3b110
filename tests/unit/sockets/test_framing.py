"""Messages out of a stream, however it is cut into pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.inputs.framing import Framer, framer
from agent.inputs.lines import room_for_line
from agent.inputs.socket_options import Framing

MAX = 100


def taken(framing: Framing, pieces: list[bytes], max_message: int = MAX) -> list[tuple[bytes, bool]]:
    """Every message and whether it was cut, the rest at the end included."""
    framing_ = framer(framing, max_message)
    found = [(m, f.cut) for piece in pieces for f in framing_.feed(piece) for m in f.messages]
    rest = framing_.end()
    return found + [(m, rest.cut) for m in rest.messages]


def whole(*messages: bytes) -> list[tuple[bytes, bool]]:
    """Messages none of which was cut."""
    return [(message, False) for message in messages]


@pytest.mark.parametrize(
    ("framing", "stream", "expected"),
    [
        ("newline", b"a\nb\r\n\nc", whole(b"a", b"b", b"", b"c")),
        ("newline", b"x" * 150 + b"\nb\n", [(b"x" * 100, True), (b"b", False)]),
        ("nul", b"a\nb\0c\r\n\0", whole(b"a\nb", b"c\r\n")),
        ("octet-counted", b"3 a\nb5 hello", whole(b"a\nb", b"hello")),
        ("octet-counted", b"3 abc\n3 def\n", whole(b"abc", b"def")),
        ("octet-counted", b"3 abc<14>a line\n2 de", whole(b"abc", b"<14>a line", b"de")),
        ("octet-counted", b"150 " + b"x" * 150 + b"2 ab", [(b"x" * 100, True), (b"ab", False)]),
        ("octet-counted", b"5 abc", [(b"abc", True)]),
        ("octet-counted", b"999999999 abc", [(b"abc", True)]),
        ("octet-counted", b"0 abc\n", whole(b"0 abc")),
        ("octet-counted", b"12", whole(b"12")),
        ("auto", b"7 <14>a\nb5 <13>c", whole(b"<14>a\nb", b"<13>c")),
        ("auto", b"7 days\n", whole(b"7 days")),
        ("auto", b"7", whole(b"7")),
        ("auto", b'{"a":\n1}\0{}\0', [*whole(b'{"a":', b"1}\0{}\0")]),
        ("auto", b'{"a":1}\0{"b":"\n"}\0', whole(b'{"a":1}', b'{"b":"\n"}')),
        ("auto", b"<14>one\0<14>two\0", whole(b"<14>one", b"<14>two")),
        ("auto", b"<14>one\n<14>t\0wo\n", whole(b"<14>one", b"<14>t\0wo")),
        ("auto", b"text \0 with a zero byte\nmore\n", whole(b"text \0 with a zero byte", b"more")),
        ("auto", b"{" + b"x" * 200, [(b"{" + b"x" * 99, True)]),
    ],
)
def test_framings(framing: Framing, stream: bytes, expected: list[tuple[bytes, bool]]) -> None:
    """The same in one piece and byte by byte."""
    assert taken(framing, [stream]) == expected
    assert taken(framing, [stream[i : i + 1] for i in range(len(stream))]) == expected


FRAMINGS = st.sampled_from(["auto", "newline", "octet-counted", "nul"])
STREAMS = st.lists(
    st.sampled_from([b"\n", b"\0", b"\r", b"3 ", b"12 <14>", b"{", b"<14>", b"999 ", b"x" * 90])
    | st.binary(max_size=30),
    max_size=30,
).map(b"".join)


@given(FRAMINGS, STREAMS, st.lists(st.integers(1, 40), max_size=40))
def test_pieces_make_no_difference(framing: Framing, stream: bytes, sizes: list[int]) -> None:
    """Any bytes in any pieces: the same messages, none longer than the limit, and what is held is bounded."""
    pieces = []
    at = 0
    for size in sizes:
        pieces.append(stream[at : at + size])
        at += size
    pieces.append(stream[at:])
    found = taken(framing, [piece for piece in pieces if piece])
    assert found == taken(framing, [stream] if stream else [])
    assert all(len(message) <= MAX for message, _ in found)


@given(FRAMINGS, st.lists(st.binary(min_size=1, max_size=60), max_size=40))
def test_what_is_held_is_bounded(framing: Framing, pieces: list[bytes]) -> None:
    """No more than one message within the limit, and the last piece."""
    framing_: Framer = framer(framing, MAX)
    for piece in pieces:
        framing_.feed(piece)
        assert framing_.held <= room_for_line(MAX) + 60 + 16


@given(st.lists(st.binary(min_size=1, max_size=MAX).filter(lambda m: not m.startswith(b"\n")), max_size=20))
def test_counted_messages_come_back(messages: list[bytes]) -> None:
    """Whatever bytes they hold."""
    stream = b"".join(b"%d %b" % (len(m), m) for m in messages)
    assert taken("octet-counted", [stream] if stream else []) == whole(*messages)


@pytest.mark.parametrize("framing", ["newline", "nul", "octet-counted", "auto"])
def test_giving_up_skips_the_rest(framing: Framing) -> None:
    """Of a message that was given up the rest is not taken for another."""
    end = b"\0" if framing == "nul" else b"\n"
    framing_ = framer(framing, MAX)
    assert framing_.feed(b"abc") == []
    assert framing_.give_up() == b"abc"
    assert framing_.held == 0
    assert [m for f in framing_.feed(b"def" + end + b"next" + end) for m in f.messages] == [b"next"]
