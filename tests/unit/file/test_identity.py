"""Recognising a file again, and the stored form of a position."""

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.inputs.assembly.assembly import Open
from agent.inputs.file.encoding import Encoding
from agent.inputs.file.generation import OpenFile, windows_behind_last_line
from agent.inputs.file.identity import WINDOW_BYTES, Fingerprint, Windows, matching_windows, windows_at
from agent.inputs.file.state import VERSION, Position, decode_position, encode_position
from agent.inputs.lines import At

POSITION = Position(
    VERSION,
    b"/logs/m.log",
    b"/logs/m.log.1",
    2049,
    131,
    Fingerprint(6, 6, b"h" * 16, 6, b"t" * 16),
    At.REST,
    1_763_805_600,
)
GOLDEN = bytes.fromhex(
    "99 01 c40b 2f6c6f67732f6d2e6c6f67 c40d 2f6c6f67732f6d2e6c6f672e31 cd0801 cc83"
    "95 06 06 c410 68686868686868686868686868686868 06 c410 74747474747474747474747474747474"
    "01 ce692189a0 90"
)
HELD = bytes.fromhex("91 94 c406 737464657272 a27079 c3 94 00040501")


def test_the_stored_form_never_changes() -> None:
    """A queue written by any version must be read by every later one: the first wrote nothing of open events."""
    assert encode_position(POSITION) == GOLDEN
    assert decode_position(GOLDEN) == POSITION
    assert decode_position(b"\x98" + GOLDEN[1:-1]) == POSITION
    held = msgspec.structs.replace(POSITION, open=(Open(b"stderr", "py", True, (0, 4, 5, 1)),))
    assert encode_position(held) == GOLDEN[:-1] + HELD
    assert decode_position(GOLDEN[:-1] + HELD) == held


def test_the_stored_form_may_grow() -> None:
    """A field added at the end by a later version of the same format is skipped."""
    later = msgspec.msgpack.decode(GOLDEN)
    assert decode_position(msgspec.msgpack.encode([*later, "new"])) == POSITION


@pytest.mark.parametrize("state", [b"", b"\xc0", b"\x91\x02", GOLDEN[:-3], b"\x99\x02" + GOLDEN[2:], b"junk"])
def test_what_is_not_a_position_is_refused(state: bytes) -> None:
    """Damage and unknown versions are an error, never a guess."""
    with pytest.raises(ValueError, match="position"):
        decode_position(state)


@given(content=st.binary(max_size=5000), steps=st.lists(st.integers(1, 3000), max_size=8), block=st.integers(1, 5000))
def test_windows_are_those_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, steps: list[int], block: int
) -> None:
    """Moved along step by step, block by block, they hold what a fresh look into the file finds."""
    path = tmp_path_factory.getbasetemp() / "windows"
    path.write_bytes(content)
    opened = OpenFile(str(path))
    windows = Windows()
    for step in steps:
        begin = windows.offset
        data = os.pread(opened.fd, max(step, block), begin)
        windows.advance(data, begin, begin + min(step, len(data)))
        assert windows == windows_at(opened, windows.offset)
    assert windows.still_in(opened.read)
    assert matching_windows(opened, windows.fingerprint()) == windows


@pytest.mark.parametrize(
    ("now", "same"),
    [
        (b"a" * 3000 + b"b" * 3000, True),
        (b"a" * 3000 + b"b" * 3000 + b"more", True),
        (b"a" * 3000 + b"b" * 2000 + b"changed after the position" + b"b" * 1000, True),
        (b"X" + b"a" * 2999 + b"b" * 3000, False),
        (b"a" * 3000 + b"b" * 999 + b"X" + b"b" * 2000, False),
        (b"a" * 3000 + b"b" * 500, False),
        (b"", False),
    ],
)
def test_a_file_is_recognised_by_its_head_and_the_bytes_before_the_position(
    tmp_path: Path, now: bytes, *, same: bool
) -> None:
    """What lies behind the position does not matter; what lies before it does, at both ends."""
    path = tmp_path / "file"
    path.write_bytes(b"a" * 3000 + b"b" * 3000)
    opened = OpenFile(str(path))
    fingerprint = windows_at(opened, 4000).fingerprint()
    assert (fingerprint.head_len, fingerprint.tail_len) == (WINDOW_BYTES, WINDOW_BYTES)
    path.write_bytes(now)
    assert (matching_windows(opened, fingerprint) is not None) is same


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"", 0), (b"half", 0), (b"one\n", 4), (b"one\nhalf", 4), (b"x" * 100, 100), (b"a\n" + b"x" * 100, 102)],
)
def test_the_tail_begins_behind_the_last_line(tmp_path: Path, content: bytes, expected: int) -> None:
    """An unfinished line is left to be read whole, unless it is longer than a line may be."""
    path = tmp_path / "file"
    path.write_bytes(content)
    assert windows_behind_last_line(OpenFile(str(path)), len(content), 64, Encoding()).offset == expected


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_only_regular_files_are_opened(tmp_path: Path, kind: str) -> None:
    """And a pipe without a writer does not block."""
    path = tmp_path / kind
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    with pytest.raises(OSError, match="not a regular file"):
        OpenFile(str(path))
