"""The last lines of a stream."""

from hypothesis import given
from hypothesis import strategies as st

from agent.inputs.exec.tail import MAX_BYTES, MAX_LINES, Tail


@given(st.lists(st.binary(max_size=3 * MAX_BYTES), max_size=6))
def test_it_is_the_end_of_what_came(pieces: list[bytes]) -> None:
    """However the pieces fall, a bounded text, which ends as the stream does."""
    tail = Tail()
    for piece in pieces:
        tail.add(piece)
    text = tail.text()
    assert text.count("\n") < MAX_LINES
    assert len(text) <= MAX_BYTES
    assert b"".join(pieces).decode("utf-8", "replace").replace("\r\n", "\n").rstrip("\n").endswith(text[-50:])


def test_lines_are_whole() -> None:
    """The first one kept begins where a line begins."""
    tail = Tail()
    for n in range(100_000):
        tail.add(b"line %d of many\n" % n)
    lines = tail.text().split("\n")
    assert lines == [f"line {n} of many" for n in range(100_000 - MAX_LINES, 100_000)]


def test_one_endless_line_is_kept_in_part() -> None:
    """There is no better place to cut."""
    tail = Tail()
    tail.add(b"x" * 10 * MAX_BYTES)
    assert tail.text() == "x" * MAX_BYTES
