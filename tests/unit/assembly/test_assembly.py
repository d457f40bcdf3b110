"""Events do not depend on how a source is read, and nothing of it is lost or doubled."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.inputs.assembly.config import Format, Multiline, MultilineConfig
from agent.inputs.assembly.stream import MAX_RANGES
from agent.inputs.lines import At, cut
from tests.unit.assembly.assembled import Reading, Told, new, pieces_of
from tests.unit.assembly.blocks import BLOCKS, HEAD, SINGLES

pytest.importorskip("re2")
TIMES = ["2026-11-22T10:00:00.123456789Z", "2026-11-22T10:00:00Z", "2026-11-22T11:00:00.5+01:00"]
LINES = sorted({line for block in BLOCKS.values() for line in block.split("\n")} | set(SINGLES) | {"", " ", "x" * 90})
LIMITS = MultilineConfig(max_lines=4, max_bytes=200)
STARTED = MultilineConfig(start=r"^\S", max_lines=4, max_bytes=200)

settings = st.sampled_from(["auto", "none", LIMITS, STARTED])
places = st.lists(st.integers(0, 10_000), max_size=12)
lines = st.lists(st.sampled_from(LINES), max_size=25)


@st.composite
def containers(draw: st.DrawFn, form: str) -> bytes:
    """A container's log: two streams, lines in pieces, a stream that ends in a piece, and garbage between."""
    data = b""
    for _ in range(draw(st.integers(0, 25))):
        content, stream = draw(st.sampled_from(LINES)), draw(st.sampled_from(["stdout", "stderr"]))
        time, whole, end = draw(st.sampled_from(TIMES)), draw(st.booleans()), draw(st.sampled_from(["\n", "\r\n"]))
        if draw(st.integers(0, 9)) == 0:
            data += (content + "\n").encode()
        elif form == "docker":
            log = (content + ("\\r\\n" if end == "\r\n" else "\\n")) if whole else content
            log = log.replace('"', '\\"').replace("\t", "\\t").replace("\x1b", "\\u001b")
            data += f'{{"log":"{log}","stream":"{stream}","time":"{time}"}}\n'.encode()
        else:
            data += f"{time} {stream} {'F' if whole else 'P'} {content}{end}".encode()
    return data


@given(lines=lines, multiline=settings, reads=places, restarts=places)
def test_events_of_text_do_not_depend_on_reads_and_restarts(
    lines: list[str], multiline: Multiline, reads: list[int], restarts: list[int]
) -> None:
    """Cut into reads anywhere, with a restart between any two, the events are those of a source read line by line;
    and joined again they are the source."""
    data = "".join(f"{line}\n" for line in lines).encode()
    reading = Reading(multiline=multiline, max_line=64)
    for number, piece in enumerate(pieces_of(data, reads)):
        reading.write(piece)
        if number in {place % 13 for place in restarts}:
            reading.restart()
    events = reading.end()
    alone = Reading(multiline=multiline, max_line=64)
    for line in data.splitlines(keepends=True):
        alone.write(line)
    assert events == alone.end()
    assert [line for event in events for line in event.text.split(b"\n")] == [x.encode()[:64] for x in lines]


@pytest.mark.parametrize("form", ["cri", "docker", "auto"])
@given(source=st.data(), multiline=settings, reads=places, restarts=places)
def test_events_of_containers_do_not_depend_on_reads_and_restarts(
    form: Format, source: st.DataObject, multiline: Multiline, reads: list[int], restarts: list[int]
) -> None:
    """The same, for interleaved streams with pieces, and for the limits in between."""
    written = source.draw(st.sampled_from(["cri", "docker"])) if form == "auto" else form
    data = source.draw(containers(written))
    reading = Reading(form, multiline, max_line=100)
    for number, piece in enumerate(pieces_of(data, reads)):
        reading.write(piece)
        if number in {place % 13 for place in restarts}:
            reading.restart()
    alone = Reading(form, multiline, max_line=100)
    for line in data.split(b"\n")[:-1]:
        alone.write(line + b"\n")
    assert reading.end() == alone.end()


def cri(content: str, stream: str = "stdout", tag: str = "F", second: int = 0) -> bytes:
    """A record as containerd writes it."""
    return f"2026-11-22T10:00:{second:02}.123456789Z {stream} {tag} {content}\n".encode()


def texts(events: list[Told]) -> list[bytes]:
    """What the events say."""
    return [event.text for event in events]


def test_pieces_are_joined_for_each_stream() -> None:
    """Streams interleave; a line has the time of its first piece, whose nine digits stay."""
    reading = Reading("cri")
    reading.write(cri("one ", tag="P", second=1) + cri("error", "stderr", second=2) + cri("two", second=3))
    assert reading.events == [
        Told(b"error", 45, b'"stderr"', b'"2026-11-22T10:00:02.123456789Z"', b""),
        Told(b"one two", 0, b'"stdout"', b'"2026-11-22T10:00:01.123456789Z"', b""),
    ]


def test_a_stream_that_ends_in_a_piece_is_let_go() -> None:
    """The runtime wrote no last record: what there is of the line is the line."""
    reading = Reading("cri")
    reading.write(cri("no end", tag="P"))
    assert reading.events == []
    assert texts(reading.end()) == [b"no end"]


def test_a_piece_keeps_the_carriage_return_it_ends_with() -> None:
    """Only the one before the line's own end is no content."""
    reading = Reading("cri")
    reading.write(cri("50%\r", tag="P") + cri("100%\r"))
    assert texts(reading.events) == [b"50%\r100%"]


def test_a_line_of_neither_format_stays_whole_and_is_counted() -> None:
    """It is marked where a format is required."""
    made = new("cri", "auto").feed(cut(cri("a") + b"not ours\n", 0, At.LINE, 4096)[0], 0.0)
    assert (made.lines, made.noted) == ([b"a", b"not ours"], {"unknown_format": 1})
    assert made.sparse["labels.format"] == [b"", b'"unknown"']
    made = new("auto", "auto").feed(cut(cri("a") + b"not ours\n", 0, At.LINE, 4096)[0], 0.0)
    assert (made.lines, made.noted, "labels.format" in made.sparse) == ([b"a", b"not ours"], {}, False)


@pytest.mark.parametrize("tag", ["P", "F"])
def test_a_line_too_long_is_cut_and_its_rest_skipped(tag: str) -> None:
    """However many pieces it has, no more of it is held than the limit; the next line is whole."""
    reading = Reading("cri", max_line=100)
    reading.write(cri("x" * 60, tag="P") + cri("y" * 60, tag=tag))
    if tag == "P":
        reading.restart()
        reading.write(cri("z" * 60, tag="P") + cri("z", "stdout"))
    reading.write(cri("next"))
    assert [(event.text, event.mark) for event in reading.events] == [
        (b"x" * 60 + b"y" * 40, b'"line"'),
        (b"next", b""),
    ]


def test_an_event_too_large_is_cut_and_marked() -> None:
    """Nothing of it vanishes: each part is a record, and says that it is one."""
    reading = Reading(multiline=LIMITS)
    block = BLOCKS["java"].split("\n")
    reading.write("".join(f"{line}\n" for line in block).encode())
    events = reading.end()
    assert b"\n".join(texts(events)).decode().split("\n") == block
    assert [event.mark for event in events] == [b'"block"', *[b'"rest"'] * (len(events) - 1)]
    assert max(len(event.text) for event in events) <= 200


def test_an_event_in_too_many_places_is_cut() -> None:
    """What is stored of an open event is bounded, however the other stream interleaves."""
    reading = Reading("cri", MultilineConfig(start="^begin"))
    reading.write(cri("begin"))
    for number in range(MAX_RANGES + 10):
        reading.write(cri("begin other", "stderr") + cri(f"line {number}"))
        assert len(msgspec.msgpack.encode(reading.open)) < 8192
    reading.restart()
    whole = [event for event in reading.end() if event.stream == b'"stdout"']
    assert [event.mark for event in whole] == [b'"block"', b'"rest"']
    assert sum(event.text.count(b"\n") + 1 for event in whole) == MAX_RANGES + 11


def test_a_line_taken_before_its_end_ends_its_event() -> None:
    """Where it ends cannot be found again, so nothing stays open behind it."""
    reading = Reading()
    reading.write(f"{HEAD}\nTraceback (most recent call last):\n  File".encode())
    assert texts(reading.end()) == [f"{HEAD}\nTraceback (most recent call last):\n  File".encode()]


def test_what_is_open_is_due_when_nothing_came_for_a_while() -> None:
    """Each line that belongs to it gives it more time."""
    assembly = new("plain", MultilineConfig(flush_after=5.0))
    (piece,) = cut(f"{HEAD}\nTraceback (most recent call last):\n".encode(), 0, At.LINE, 4096)
    assert assembly.feed(piece, 10.0).lines == []
    assert assembly.due == 15.0
    (more,) = cut(b"  File\n", piece.end, At.LINE, 4096)
    assert assembly.feed(more, 12.0).lines == []
    assert assembly.flush(more.end, 16.9).lines == []
    assert len(assembly.flush(more.end, 17.0).lines) == 1
    assert [assembly.due, assembly.open] == [None, ()]


def test_lines_of_json_pass_untouched() -> None:
    """The very lists that were read go on."""
    (piece,) = cut(b'{"a": 1}\n{"level": "ERROR"}\n', 0, At.LINE, 4096)
    assert new("plain", "auto").feed(piece, 0.0) is piece


def test_docker_pieces_and_its_escapes() -> None:
    """A line goes on until a record ends in a newline; what was escaped is the model's own text again."""
    reading = Reading("docker")
    time = '"time":"2026-11-22T10:00:00.5Z"'
    reading.write(f'{{"log":"{{\\"a\\": \\"","stream":"stdout",{time}}}\n'.encode())
    reading.write(f'{{"log":"x\\u003c\\"}}\\r\\n","stream":"stdout","attrs":{{"tag":"t"}},{time}}}\n'.encode())
    assert reading.events == [Told(b'{"a": "x<"}', 0, b'"stdout"', b'"2026-11-22T10:00:00.5Z"', b"")]
