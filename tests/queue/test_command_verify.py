"""`modeltail queue verify` names every damage, and nothing that is none."""

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isal import isal_zlib

from agent.queue.cursor import Cursor, encode_slot, encode_to_fit
from agent.queue.disk import RealDisk
from agent.queue.frame import Frame, Meta, Part, deflate, encode
from agent.queue.queue import open_queue
from agent.queue.segment import VERSION, Header, Name, encode_header
from agent.queue.verify import Finding, Verified, verify
from agent.queue.walk import Damage, Missing, Unfinished
from tests.queue.entries import RUN, entry, entry_in_turn
from tests.queue.tool import config, fill, finish, goods, modeltail, segments


def _verify(folder: Path) -> tuple[Verified, list[Finding]]:
    findings: list[Finding] = []
    return verify(RealDisk(), folder, findings.append, lambda entered: None), findings


def _flip(path: Path, at: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


def test_whole_queue_is_good(tmp_path: Path) -> None:
    """Every record is looked at once, and the empty frame of a peaceful end; nothing is found."""
    fill(tmp_path, [entry(batch, stream=f"s{batch % 3}-default") for batch in range(1, 30)], done=3)
    ran = modeltail("queue", "verify", "--queue", tmp_path)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("Looked at 87 records, 30 frames, ")
    assert ran.out.endswith("All is well.\n")


def test_damaged_frame_is_named_with_its_place_and_what_is_missing(tmp_path: Path) -> None:
    """File, byte and number of records, in the words an operator reads."""
    fill(tmp_path)
    hit = goods(tmp_path)[2]
    path = tmp_path / hit.name.text
    _flip(path, hit.stored.frame.offset + 60)
    ran = modeltail("queue", "verify", "--queue", tmp_path)
    frame = hit.stored.frame
    assert ran.status == 2
    assert ran.out.splitlines()[:2] == [
        f"DAMAGED  {path.name} at byte {frame.offset}: checksum does not hold ({frame.size} bytes)",
        f"MISSING  3 records (frame 3) before byte {frame.end} of {path.name}",
    ]
    assert "1 damaged place" in ran.out
    assert "3 records missing" in ran.out


def test_every_flipped_byte_is_found_where_it_is(tmp_path: Path) -> None:
    """Whatever byte of a segment is hit, one damaged place holds it, no record is invented, and the number missing is
    that of the frame hit."""
    fill(tmp_path, [entry(batch, 2) for batch in range(1, 4)])
    (path,) = segments(tmp_path)
    whole = path.read_bytes()
    frames = [good.stored.frame for good in goods(tmp_path)]
    for at in range(len(whole)):
        _flip(path, at, at % 8)
        verified, findings = _verify(tmp_path)
        path.write_bytes(whole)
        damages = [finding for finding in findings if isinstance(finding, Damage)]
        cut = [finding for finding in findings if isinstance(finding, Unfinished)]
        (place,) = damages or cut
        assert place.offset <= at < place.offset + place.size
        hit = next((frame for frame in frames if frame.offset <= at < frame.end), None)
        assert verified.records == 6 - (hit.count if hit else 0)
        # Nothing behind the last frame says that it was there; and a length that points behind the end of the file
        # looks like a write that was cut off.
        assert verified.missing == (2 if hit in frames[:-1] else 0)
        assert bool(cut) <= (hit == frames[-1])


def test_every_cut_of_the_newest_segment_is_an_unfinished_write(tmp_path: Path) -> None:
    """A kill or a power cut leaves such an end: nothing that was accepted is in it, so it is no damage."""
    fill(tmp_path, [entry(batch, 2) for batch in range(1, 4)])
    (path,) = segments(tmp_path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        (tmp_path / "cursor-out").unlink(missing_ok=True)
        verified, _ = _verify(tmp_path)
        assert verified.is_good
        assert verified.records % 2 == 0
        assert verified.unfinished_bytes < 600


def test_cut_older_segment_is_damage(tmp_path: Path) -> None:
    """What was written behind it says that records are missing, and how many."""
    fill(tmp_path, [entry(batch, pad=400) for batch in range(1, 30)])
    path = segments(tmp_path)[0]
    os.truncate(path, path.stat().st_size - 10)
    verified, findings = _verify(tmp_path)
    assert [type(finding) for finding in findings] == [Damage, Missing]
    assert (verified.missing, verified.records) == (3, 84)


def test_lost_segment_is_counted(tmp_path: Path) -> None:
    """A file gone from the middle leaves a gap in the totals."""
    fill(tmp_path, [entry(batch, pad=400) for batch in range(1, 30)])
    lost = segments(tmp_path)[1]
    records = sum(good.stored.frame.count for good in goods(tmp_path) if good.name.text == lost.name)
    lost.unlink()
    verified, findings = _verify(tmp_path)
    assert [type(finding) for finding in findings] == [Missing]
    assert verified.missing == records > 0


def test_lost_newest_segment_is_told_by_a_cursor(tmp_path: Path) -> None:
    """An output has finished what is not there any more."""
    fill(tmp_path, [entry(batch, pad=400) for batch in range(1, 30)], done=29)
    segments(tmp_path)[-1].unlink()
    verified, _ = _verify(tmp_path)
    assert not verified.is_good
    assert verified.missing > 0


def test_torn_end_before_a_restart_is_no_damage(tmp_path: Path) -> None:
    """The agent that found it began a new segment, whose totals say that nothing is missing."""
    fill(tmp_path)
    path = segments(tmp_path)[-1]
    with path.open("ab") as file:
        file.write(path.read_bytes()[-100:-50])
    good = goods(tmp_path)[-1].stored.frame
    head = path.read_bytes()[good.offset : good.offset + 60]
    os.truncate(path, good.end)
    with path.open("ab") as file:
        file.write(head)
    fill(tmp_path, [entry(99)])
    verified, findings = _verify(tmp_path)
    assert verified.is_good
    assert [type(finding) for finding in findings] == [Unfinished]
    assert verified.records == 39


@pytest.mark.parametrize("content", [b"", b"garbage", bytes(16384), bytes(100)])
def test_unreadable_cursor_is_damage(tmp_path: Path, content: bytes) -> None:
    """Empty, garbage, all zeros, cut short."""
    fill(tmp_path)
    (tmp_path / "cursor-out").write_bytes(content)
    ran = modeltail("queue", "verify", "--queue", tmp_path)
    assert ran.status == 2
    assert "DAMAGED  cursor-out: neither of its two slots is readable" in ran.out


@pytest.mark.parametrize(
    ("cursor", "sentence"),
    [
        (Cursor(low=2, low_total=5, counts={"delivered": 5}), "it says 5 records lie up to frame 2, but it is 6"),
        (Cursor(low=2, low_total=6, counts={"delivered": 4}), "it counts 4 records, but its position says otherwise"),
        (Cursor(low=99, low_total=99, counts={"delivered": 99}), "63 records (frames 13 to 99) before the end"),
    ],
)
def test_cursor_that_contradicts_the_data_is_told(tmp_path: Path, cursor: Cursor, sentence: str) -> None:
    """Readable is not enough: it must agree with the frames and with itself."""
    fill(tmp_path)
    (tmp_path / "cursor-out").write_bytes(encode_slot(encode_to_fit(cursor), 1))
    ran = modeltail("queue", "verify", "--queue", tmp_path)
    assert ran.status == 2
    assert sentence in ran.out


def test_cursor_older_than_the_oldest_segment_is_told(tmp_path: Path) -> None:
    """For example one that was restored from a backup."""
    fill(tmp_path, [entry(batch, pad=400) for batch in range(1, 30)])
    first = segments(tmp_path)[0]
    records = sum(good.stored.frame.count for good in goods(tmp_path) if good.name.text == first.name)
    first.unlink()
    ran = modeltail("queue", "verify", "--queue", tmp_path)
    assert ran.status == 2
    assert f"{records} records behind the oldest segment" in ran.out


@pytest.mark.parametrize(
    ("documents", "count", "parts", "sentence"),
    [
        (
            b'{"create":{"_id":"r-1-0"}}\n{}\n',
            2,
            [Part(1, 0, 2)],
            "2 records are said to be in it, but there are 1 documents",
        ),
        (b'{"create":{"_id":"r-1-0"}}\n{}\n', 1, [Part(1, 0, 2)], "1 records are said to be in it"),
        (b'{"create":{"_id":"r-1-0"}}\n{}\n', 1, [Part(7, 0, 1)], "do not have the ids it says"),
        (b'{"create":{"_id":"r-1-0"}}\n', 1, [Part(1, 0, 1)], "but there are 0 documents"),
    ],
)
def test_frame_written_wrongly_is_told(
    tmp_path: Path, documents: bytes, count: int, parts: list[Part], sentence: str
) -> None:
    """A checksum holds over nonsense too: what is inside is looked at."""
    mark = bytes(range(8))
    body, crc = deflate(documents)
    frame = Frame(1, 0, count, len(documents), crc, 0, Meta("r", "s", parts), len(body))
    header = encode_header(Header("r", mark, 1, 0, [], {}))
    (tmp_path / Name(1, 0, mark).text).write_bytes(header + b"".join(encode(mark, frame, body)))
    ran = modeltail("queue", "verify", "--queue", tmp_path)
    assert ran.status == 2
    assert sentence in ran.out


def _with_version(path: Path, version: int) -> None:
    """The same segment, said to be of another version."""
    data = bytearray(path.read_bytes())
    end = 20 + int.from_bytes(data[12:16], "little")
    data[8] = version
    data[16:20] = isal_zlib.crc32(data[20:end], isal_zlib.crc32(data[8:16])).to_bytes(4, "little")
    path.write_bytes(data)


def test_format_from_before_the_forms_is_read(tmp_path: Path) -> None:
    """What lay in the queue when modeltail was updated is as good as before."""
    fill(tmp_path)
    before = modeltail("queue", "export", "--queue", tmp_path).out
    for path in segments(tmp_path):
        assert path.read_bytes()[8] == VERSION
        _with_version(path, 1)
    assert modeltail("queue", "verify", "--queue", tmp_path).status == 0
    assert modeltail("queue", "export", "--queue", tmp_path).out == before


def test_newer_format_is_refused_by_name(tmp_path: Path) -> None:
    """A segment of a later modeltail is told as what it is."""
    fill(tmp_path)
    _with_version(segments(tmp_path)[0], 3)
    assert "segment format version 3 is not known here" in modeltail("queue", "verify", "--queue", tmp_path).out


def test_busy_queue_is_never_called_damaged(tmp_path: Path) -> None:
    """Beside a running queue that appends, syncs, delivers and deletes, each look finds nothing wrong."""

    async def main() -> int:
        async with asyncio.timeout(60), open_queue(config(tmp_path), RUN) as queue:
            subscription = queue.subscribe("out", from_oldest=True)
            looking = asyncio.create_task(asyncio.to_thread(_look_often, tmp_path))
            batch = 0
            while not looking.done():
                batch += 1
                await queue.append(entry_in_turn(batch, pad=batch % 500), "block")
                for stored in await subscription.read_now(1):
                    finish(subscription, stored.frame)
            for verified, findings in looking.result():
                assert verified.is_good, findings
            return sum(verified.records for verified, _ in looking.result())

    assert asyncio.run(main()) > 0
    oldest = segments(tmp_path)[0].name
    assert not oldest.startswith("0000000000000001-")  # the agent did delete segments meanwhile


def _look_often(folder: Path) -> list[tuple[Verified, list[Finding]]]:
    """Until segments were deleted many times over."""
    looks: list[tuple[Verified, list[Finding]]] = []
    seen: set[str] = set()
    while len(seen) < 40:
        looks.append(_verify(folder))
        seen |= {path.name for path in segments(folder)}
    return looks


@settings(max_examples=60)
@given(data=st.data())
def test_verify_takes_any_bytes(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Any part of any file replaced by anything: it ends, and never counts more records than there were."""
    folder = tmp_path_factory.mktemp("queue")
    fill(folder)
    for path in [*segments(folder), folder / "cursor-out"]:
        content = path.read_bytes()
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, len(content)))
        path.write_bytes(content[:start] + data.draw(st.binary(max_size=64)) + content[end:])
    verified, _ = _verify(folder)
    assert verified.records <= 36
