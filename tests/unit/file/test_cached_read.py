"""Reading only what the system has in memory."""

import os
from pathlib import Path

import pytest

from agent.inputs.file.block import CachedRead

DATA = bytes(range(256)) * 1024


@pytest.fixture
def fd(tmp_path: Path):  # type: ignore[no-untyped-def]
    """A file of `DATA`, written to the disk and still in memory."""
    path = tmp_path / "model.log"
    path.write_bytes(DATA)
    opened = os.open(path, os.O_RDWR)
    os.fsync(opened)
    yield opened
    os.close(opened)


@pytest.mark.parametrize(
    ("length", "offset"), [(100, 0), (4096, 5000), (len(DATA), 0), (500, len(DATA) - 100), (9, 1 << 30)]
)
def test_gives_what_a_plain_read_gives(fd: int, length: int, offset: int) -> None:
    """The same bytes, fewer at the end of the file and none behind it; what was given before stays what it was."""
    read = CachedRead()
    first = read(fd, 200_000, 7)
    assert read(fd, length, offset) == os.pread(fd, length, offset)
    assert first == DATA[7:200_007]


def test_refuses_what_the_disk_would_have_to_bring(fd: int) -> None:
    """Bytes that are not in memory are refused."""
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    try:
        os.preadv(fd, [bytearray(1)], len(DATA) - 1, os.RWF_NOWAIT)
    except BlockingIOError:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    else:
        pytest.skip("this file system keeps its files in memory")
    with pytest.raises(BlockingIOError):
        CachedRead()(fd, len(DATA), 0)


def test_refuses_where_the_system_cannot_say() -> None:
    """A file system without such reads leads to an ordinary one, not to an error."""
    with open("/proc/self/status", "rb") as status, pytest.raises(BlockingIOError):
        CachedRead()(status.fileno(), 100, 0)
