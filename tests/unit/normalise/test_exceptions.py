"""Tracebacks: which exception they end with."""

import traceback

import pytest

from agent.processors.normalise.exceptions import MAX_MESSAGE_CHARS, TracebackReader, raised
from agent.values import quote

FRAME = 'Traceback (most recent call last):\n  File "a.py", line 1, in <module>\n    f()\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (FRAME + "ValueError: shapes (3,4) and (5,) not aligned", ("ValueError", "shapes (3,4) and (5,) not aligned")),
        (FRAME + "ValueError", ("ValueError", "")),
        (FRAME.replace("\n", "\n\n") + "ValueError: a", ("ValueError", "a")),
        (FRAME + "ValueError: ", ("ValueError", "")),
        (
            FRAME + "torch.cuda.OutOfMemoryError: CUDA out of memory\n",
            ("torch.cuda.OutOfMemoryError", "CUDA out of memory"),
        ),
        (FRAME + "ValueError: one\ntwo: three\n\nfour", ("ValueError", "one\ntwo: three\n\nfour")),
        (
            FRAME
            + "KeyError: 'a'\n\nDuring handling of the above exception, another exception occurred:\n\n"
            + FRAME
            + "RuntimeError: b",
            ("RuntimeError", "b"),
        ),
        ("Traceback (most recent call last):\nValueError: a", ("ValueError", "a")),
        ("ValueError: a", ("ValueError", "a")),
        (FRAME, None),
        ("something went wrong", None),
        ("  indented only", None),
    ],
)
def test_exception_of_a_traceback(text: str, expected: tuple[str, str] | None) -> None:
    """The first line that is not indented behind the last that is names it; of a chain, the last one counts."""
    assert raised(text) == expected


def test_real_traceback() -> None:
    """What the interpreter itself writes."""
    try:
        try:
            {}["missing"]  # type: ignore[index]
        except KeyError as error:
            raise LookupError("no such\nmodel") from error
    except LookupError:
        assert raised(traceback.format_exc()) == ("LookupError", "no such\nmodel")


def test_message_is_bounded() -> None:
    """A message is copied out of the traceback up to a limit; the traceback itself is whole."""
    text = FRAME + "ValueError: " + "x" * 100_000
    reading = TracebackReader().read(quote(text))
    assert reading
    places = dict(reading.filled)
    assert places["error.stack_trace"] == quote(text)
    assert len(places["error.message"]) == MAX_MESSAGE_CHARS + 2


@pytest.mark.parametrize("value", [b"null", b"true", b"[]", b'""', b"1"])
def test_not_a_traceback(value: bytes) -> None:
    """Only text is one."""
    assert TracebackReader().read(value) is None
