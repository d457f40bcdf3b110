"""Files that are not UTF-8, and what files begin with that is no text."""

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.inputs.file.encoding import encoding_named
from agent.inputs.file.generation import OpenFile, windows_behind_last_line
from agent.inputs.lines import At
from tests.unit.file.following import Kept, config, following, run_once

NAMES = ["utf-16-le", "utf-16-be", "latin-1", "cp1252", "koi8-r", "cp037", "ascii"]


def _characters(name: str) -> st.SearchStrategy[str]:
    codec = encoding_named(name).codec
    if codec.startswith("utf-16"):
        return st.sampled_from("\n\n\r abc\u010a\u0a0aäλ\u2028\U0001f600\ufeff")
    text = bytes(range(256)).decode(codec, "ignore")
    return st.sampled_from([c for c in text if c != "\0"] + ["\n"] * 40)


@given(name=st.sampled_from(NAMES), data=st.data())
def test_lines_and_their_positions_are_those_of_the_file(name: str, data: st.DataObject) -> None:
    """Whatever the blocks it is read in: each line in UTF-8, and its place in bytes of the file."""
    encoding = encoding_named(name)
    text = data.draw(st.text(_characters(name), max_size=60)) + "\nlast"
    content = text.encode(encoding.codec)
    lines: list[bytes] = []
    starts: list[int] = []
    begin, at, ended = 0, At.LINE, False
    while not ended:
        want = data.draw(st.integers(1, 40))
        ended = begin + want >= len(content)
        for piece in encoding.cut(content[begin : begin + want], begin, at, 1000, ended=ended):
            assert piece.begin == begin
            begin, at = piece.end, piece.at
            lines += piece.lines
            starts += piece.starts
        if not ended and not encoding.behind_newline(content[begin : begin + want], begin):
            # As the reader does: as much as the longest line needs.
            for piece in encoding.cut(content[begin:], begin, at, 1000, ended=True):
                begin, at = piece.end, piece.at
                lines += piece.lines
                starts += piece.starts
            ended = True
    expected = text.split("\n")
    assert begin == len(content)
    assert lines == [line.removesuffix("\r").encode() if i < len(expected) - 1 else line.encode()
                     for i, line in enumerate(expected)]  # fmt: skip
    before = [len("".join(f"{line}\n" for line in expected[:i]).encode(encoding.codec)) for i in range(len(expected))]
    assert starts == before


@given(name=st.sampled_from(NAMES), content=st.binary(max_size=80), cuts=st.lists(st.integers(0, 80), max_size=6))
def test_any_bytes_are_lines(name: str, content: bytes, cuts: list[int]) -> None:
    """Nothing stops it: all bytes are accounted for once, and positions only grow."""
    encoding = encoding_named(name)
    begin, at, starts = 0, At.LINE, []
    for end in [*sorted(min(c, len(content)) for c in cuts), len(content)]:
        for piece in encoding.cut(content[begin:end], begin, at, 16, ended=end == len(content)):
            assert piece.begin == begin
            assert piece.begin <= piece.end <= end
            begin, at = piece.end, piece.at
            starts += piece.starts
            assert all(len(line) <= 16 for line in piece.lines)
    assert begin == len(content)
    assert starts == sorted(starts)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ascii", b"caf\xe9\n"),
        ("cp1253", b"\xd2\x81\n"),  # two bytes that are no characters there, and would be one in UTF-8
        ("utf-16-le", "caf".encode("utf-16-le") + b"\x00\xdc" + "\n".encode("utf-16-le")),
        ("utf-16-be", "caf".encode("utf-16-be") + b"\xd8\x00" + "\n".encode("utf-16-be")),
    ],
)
def test_what_cannot_be_decoded_is_not_utf8(name: str, content: bytes) -> None:
    """So the record is marked and counted as ``invalid_utf8``, as it is for a file that should have been UTF-8."""
    (piece,) = encoding_named(name).cut(content, 0, At.LINE, 1000)
    assert (piece.end, len(piece.lines)) == (len(content), 1)
    with pytest.raises(UnicodeDecodeError):
        piece.lines[0].decode()


def test_torn_character_does_not_misread_what_follows() -> None:
    """The other half of a character that was given up comes after all: it is skipped, the next lines are whole."""
    encoding = encoding_named("utf-16-le")
    content = "one\ntwo\nthree\n".encode("utf-16-le")
    begin, at, lines = 0, At.LINE, []
    for end, ended in ((11, True), (12, True), (len(content), False)):
        for piece in encoding.cut(content[begin:end], begin, at, 1000, ended=ended):
            begin, at = piece.end, piece.at
            lines += piece.lines
    assert lines == [b"one", b"t\xff", b"o", b"three"]
    assert begin == len(content)


@pytest.mark.parametrize("name", ["utf-8", "UTF8", "utf_8_sig", "Latin-1", "iso-8859-15", "windows-1252", "utf-16"])
def test_encodings_are_known_by_all_their_names(name: str) -> None:
    """As Python knows them."""
    assert encoding_named(name)


@pytest.mark.parametrize(
    "name", ["", "utf-9", "shift_jis", "gbk", "utf-32", "utf-7", "hz", "iso2022_jp", "base64", "a\0b"]
)
def test_other_encodings_are_refused(name: str, tmp_path: Path) -> None:
    """With a sentence that says which there are; `modeltail check` shows it at the setting."""
    with pytest.raises(ValueError, match=r"utf-8|UTF-8"):
        encoding_named(name)
    ((field, sentence),) = config(tmp_path, encoding=name).problems()
    assert field == "encoding"
    assert "8" in sentence


@pytest.mark.parametrize(
    ("setting", "codec", "mark"),
    [
        ("utf-8", "utf-8", b"\xef\xbb\xbf"),
        ("utf-16", "utf-16-le", b"\xff\xfe"),
        ("utf-16", "utf-16-be", b"\xfe\xff"),
        ("utf-16-le", "utf-16-le", b""),
        ("utf-16-le", "utf-16-le", b"\xff\xfe"),
        ("utf-16-be", "utf-16-be", b""),
        ("latin-1", "latin-1", b""),
    ],
)
def test_file_is_read_in_its_encoding_across_restarts(tmp_path: Path, setting: str, codec: str, mark: bytes) -> None:
    """A byte order mark is no part of the first line; positions are bytes of the file; a line longer than a block
    is one line."""
    log, kept = tmp_path / "model.log", Kept()
    long = "é\u010a"[: 1 if codec == "latin-1" else 2] * 100_000
    pieces = [mark + "première\nça".encode(codec), f" va\r\n{long}\nder".encode(codec), "nière\n".encode(codec)]
    for piece in pieces:
        with log.open("ab") as writer:
            writer.write(piece)
        run_once(config(tmp_path, encoding=setting), kept)
    assert kept.lines == ["première".encode(), "ça va".encode(), long.encode(), "dernière".encode()]
    first = len(mark)
    before = ["", "première\n", "première\nça va\r\n", f"première\nça va\r\n{long}\n"]
    offsets = [int(text) for batch in kept.batches for text in batch.columns["log.offset"]]
    assert offsets == [first + len(text.encode(codec)) for text in before]


def test_rested_half_of_a_character_is_taken_once(tmp_path: Path) -> None:
    """A file that ends within a character is read to its end like any other: nothing keeps the input busy."""

    async def scenario() -> None:
        kept = Kept()
        (tmp_path / "model.log").write_bytes("one\ntw".encode("utf-16-le") + b"o")
        async with following(config(tmp_path, encoding="utf-16-le", partial_after=0.05), kept):
            await kept.wait_for_lines(b"one", b"tw\xff")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [("one\nhalf", 64, 4), ("half", 64, 0), ("\u010a\u0a00\n\u0a00\u010a", 64, 3), ("x" * 100, 16, 100)],
)
@pytest.mark.parametrize("name", ["utf-16-le", "utf-16-be"])
def test_tail_begins_behind_the_last_line(tmp_path: Path, name: str, text: str, size: int, expected: int) -> None:
    """Also where the bytes of a line end are in other characters."""
    path = tmp_path / "file"
    path.write_bytes(text.encode(name))
    found = windows_behind_last_line(OpenFile(str(path)), path.stat().st_size, size, encoding_named(name))
    assert found.offset == 2 * expected


@pytest.mark.parametrize("hole", [1, 5_000, 300_000, 40 * 1024**2 + 17])
@pytest.mark.parametrize("sparse", [False, True])
def test_leading_nuls_are_no_record(tmp_path: Path, hole: int, *, sparse: bool) -> None:
    """A file that begins with a hole is read from behind it, at once if the file system knows the hole, across
    restarts; the file is counted."""
    log, kept = tmp_path / "model.log", Kept()
    if sparse:
        log.touch()
        os.truncate(log, hole)
        run_once(config(tmp_path), kept)
    else:
        log.write_bytes(bytes(hole))
    with log.open("ab") as writer:
        writer.write(b"first\n\0second\n")
    for _ in range(2):
        run_once(config(tmp_path), kept)
    assert kept.lines == [b"first", b"\0second"]
    assert kept.count("leading_nuls") == 1
    assert [int(text) for batch in kept.batches for text in batch.columns["log.offset"]] == [hole, hole + 6]


def test_leading_nuls_before_utf16_leave_its_characters_whole(tmp_path: Path) -> None:
    """The first byte of a big-endian letter is a NUL too."""
    log, kept = tmp_path / "model.log", Kept()
    log.write_bytes(bytes(4) + "first\n".encode("utf-16-be"))
    run_once(config(tmp_path, encoding="utf-16-be"), kept)
    assert kept.lines == [b"first"]
