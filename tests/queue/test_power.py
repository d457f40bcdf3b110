"""The disk that loses power is honest: nothing durable is ever lost, and what is not durable can be."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.queue.power import PowerDisk

FOLDER = Path("/queue")
FILE = FOLDER / "file"


def _written(data: bytes) -> tuple[PowerDisk, int]:
    disk = PowerDisk()
    handle = disk.create(FILE)
    disk.write(handle, [data], 0)
    return disk, handle


@given(st.binary(min_size=1, max_size=3000), st.binary(min_size=1, max_size=3000), st.integers(0, 50))
def test_what_was_synced_survives_every_power_cut(durable: bytes, later: bytes, seed: int) -> None:
    """Content behind a sync, under a name behind a sync of the folder, is there whatever was appended since."""
    disk, handle = _written(durable)
    disk.sync(handle)
    disk.sync_folder(FOLDER)
    disk.write(handle, [later], len(durable))
    found = disk.after_power_cut(seed).content(FILE)
    assert found[: len(durable)] == durable


def test_what_was_not_synced_can_be_lost_kept_and_torn() -> None:
    """Over many cuts a write is seen whole, gone and in part; a name is seen and not."""
    disk, handle = _written(b"a" * 1000)
    assert {disk.after_power_cut(seed).names(FOLDER) == [] for seed in range(20)} == {True, False}
    disk.sync_folder(FOLDER)
    lengths = {bytes(disk.after_power_cut(seed).content(FILE)).count(b"a") for seed in range(50)}
    assert {0, 1000} < lengths
    disk.close(handle)


def test_failed_sync_cannot_be_mended_by_another() -> None:
    """What a sync failed for may be lost although the next sync succeeds; written again, it is durable."""
    disk, handle = _written(b"a" * 10)
    disk.sync_folder(FOLDER)
    disk.failing = {disk.calls + 1}
    try:
        disk.sync(handle)
    except OSError:
        disk.sync(handle)
    assert disk.after_power_cut(0).content(FILE) == b""
    disk.write(handle, [b"a" * 10], 0)
    disk.sync(handle)
    assert all(disk.after_power_cut(seed).content(FILE) == b"a" * 10 for seed in range(20))
