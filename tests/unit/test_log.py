"""modeltail's own log."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import log
from agent.log import REPEAT_SECS, Log


class Clock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("modeltail")
    before = (list(root.handlers), root.level, ours.level)
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_line_has_the_places_of_ecs() -> None:
    """A line is one JSON object with ECS places, our fields under ``modeltail``."""
    stream = io.StringIO()
    log.setup("info", "json", stream=stream)
    Log("inputs.file").warning(
        "A file cannot be read", path="/logs/a.log", error=PermissionError(13, "denied"), files=[1, "a"]
    )
    (line,) = lines(stream)
    assert line.pop("@timestamp")
    assert line == {
        "log.level": "warning",
        "message": "A file cannot be read",
        "ecs.version": "9.2.0",
        "service.name": "modeltail",
        "log.logger": "inputs.file",
        "modeltail": {"path": "/logs/a.log", "error": "PermissionError: [Errno 13] denied", "files": [1, "a"]},
    }


def test_text_line_quotes_what_could_forge_another() -> None:
    """A value with a line end in it stays within its line."""
    stream = io.StringIO()
    log.setup("info", "text", stream=stream)
    Log("queue").info("Ready", path="/a b", evil="x\n2026 ERROR forged", n=3, none=None)
    (line,) = stream.getvalue().splitlines()
    assert line.partition(" ")[2] == 'INFO    queue: Ready path="/a b" evil="x\\n2026 ERROR forged" n=3 none=None'


@pytest.mark.parametrize(
    ("level", "heard"),
    [("debug", ["d", "i", "w", "e"]), ("info", ["i", "w", "e"]), ("warning", ["w", "e"]), ("error", ["e"])],
)
def test_level_is_the_least_that_is_written(level: log.Level, heard: list[str]) -> None:
    """Each level lets itself and what is above it through."""
    stream = io.StringIO()
    log.setup(level, "json", stream=stream)
    out = Log("x")
    out.debug("d")
    out.info("i")
    out.warning("w")
    out.error("e")
    assert [line["message"] for line in lines(stream)] == heard


def test_auto_is_json_unless_a_terminal_listens() -> None:
    """``auto`` asks the stream."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal, file = Terminal(), io.StringIO()
    log.setup(stream=terminal)
    Log("x").info("Hello")
    log.setup(stream=file)
    Log("x").info("Hello")
    assert not terminal.getvalue().startswith("{")
    assert lines(file)[0]["message"] == "Hello"


def test_setting_up_again_replaces_the_first() -> None:
    """One line goes to one place, however often the log is set up."""
    first, second = io.StringIO(), io.StringIO()
    log.setup(stream=first)
    log.setup(stream=second)
    Log("x").info("Hello")
    assert (first.getvalue(), len(lines(second))) == ("", 1)


def test_repeated_trouble_is_one_line_with_a_count() -> None:
    """The same sentence about the same thing is written once in ten seconds, then again with how many were held
    back."""
    stream, clock = io.StringIO(), Clock()
    log.setup("info", "json", stream=stream, monotonic=clock)
    out = Log("delivery")
    for attempt in range(5):
        out.warning("No answer", output="es", attempt=attempt)
    clock.now += REPEAT_SECS
    out.warning("No answer", output="es", attempt=5)
    assert [line["modeltail"] for line in lines(stream)] == [
        {"output": "es", "attempt": 0},
        {"output": "es", "attempt": 5, "repeated": 4},
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("A", {"output": "es"}), ("B", {"output": "es"})),
        (("A", {"output": "es"}), ("A", {"output": "local"})),
        (("A", {"input": "a"}), ("A", {"input": "b"})),
        (("A", {"path": "a"}), ("A", {"path": "b"})),
        (("A", {}), ("A", {"path": "b"})),
    ],
)
def test_different_trouble_is_not_held_back(one: tuple[str, dict[str, str]], other: tuple[str, dict[str, str]]) -> None:
    """Another sentence, or another input, output or path, is other trouble."""
    stream = io.StringIO()
    log.setup("info", "json", stream=stream, monotonic=Clock())
    for sentence, fields in (one, other, one):
        Log("x").error(sentence, **fields)
    assert len(lines(stream)) == 2


def test_good_news_is_never_held_back() -> None:
    """Only warnings and errors are collapsed."""
    stream = io.StringIO()
    log.setup("info", "json", stream=stream, monotonic=Clock())
    for _ in range(3):
        Log("x").info("Ready")
    assert len(lines(stream)) == 3


def test_memory_for_repeats_is_bounded() -> None:
    """Ten thousand different paths do not make ten thousand entries for ever."""
    repeats = log._Repeats(Clock())
    for i in range(10_000):
        record = logging.LogRecord("x", logging.ERROR, "", 0, "A", None, None)
        record.fields = {"path": str(i)}
        assert repeats.allow(record) == 0
    assert len(repeats._seen) <= log._REMEMBERED


@given(tail=st.text(), before=st.text(), after=st.text(), form=st.sampled_from(["text", "json"]))
def test_secrets_do_not_appear(tail: str, before: str, after: str, form: log.Format) -> None:
    """Neither in a field, nor in something inside one, nor in an error, nor in a library's message."""
    secret = f"S3cr3t{tail}"
    stream = io.StringIO()
    log.setup("info", form, stream=stream, secrets=[secret])
    error = ValueError(secret)
    Log("x").error("Refused", url=f"{before}{secret}{after}", error=error, inside=[{"a": secret}])
    logging.getLogger("library").warning("said %s", secret)
    assert stream.getvalue().count("***") >= 4
    assert "S3cr3t" not in stream.getvalue()


def test_a_longer_secret_is_replaced_before_one_inside_it() -> None:
    """The rest of the longer one would be readable otherwise."""
    stream = io.StringIO()
    log.setup("info", "json", stream=stream, secrets=["abcdef", "abcdef-ghij"])
    Log("x").error("Refused", key="abcdef-ghij")
    assert "ghij" not in stream.getvalue()


def test_libraries_are_heard_from_warning_up() -> None:
    """A library's chatter is not ours, even with ``debug``; its traceback is one field of one line."""
    stream = io.StringIO()
    log.setup("debug", "json", stream=stream)
    library = logging.getLogger("library")
    library.info("chatter")
    try:
        raise ValueError("x")
    except ValueError:
        library.exception("%d of %s", 3, "y")
    (line,) = lines(stream)
    assert line["message"] == "3 of y"
    assert "ValueError: x" in str(line["modeltail"])


def test_percent_signs_in_a_sentence_are_text() -> None:
    """A sentence is not a template."""
    stream = io.StringIO()
    log.setup("info", "json", stream=stream)
    Log("x").info("100 % of %s")
    assert lines(stream)[0]["message"] == "100 % of %s"


def test_a_closed_stream_does_not_stop_the_caller() -> None:
    """Who cannot write the log goes on working."""
    stream = io.StringIO()
    log.setup("info", "json", stream=stream)
    Log("x").info("first")
    stream.close()
    Log("x").info("second")
    assert stream.closed


@given(st.text(st.characters()), st.binary())
def test_any_value_makes_one_line(text: str, data: bytes) -> None:
    """Lone surrogates, control characters, bytes: one line each, in both forms."""
    for form in ("text", "json"):
        stream = io.StringIO()
        log.setup("info", form, stream=stream)
        Log("x").info("Seen", text=text, data=data)
        written = stream.getvalue()
        assert written.endswith("\n")
        assert "\n" not in written[:-1]
        assert form == "json" or written[:-1].isprintable()
        written.encode()


def test_a_long_value_is_cut() -> None:
    """A megabyte in a field does not become a megabyte of log."""
    stream = io.StringIO()
    log.setup("info", "json", stream=stream)
    Log("x").info("Seen", text="a" * 1_000_000)
    assert len(stream.getvalue()) < 3000
