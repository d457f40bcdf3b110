"""A disk that fails now and then: what was accepted stays, order stays, nothing is shown before it is durable."""

import asyncio
import errno
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.ledger import make_ledger, read_ledger
from agent.queue import queue as queue_module
from agent.queue.config import QueueConfig
from agent.queue.cursor import Range
from agent.queue.disk import RealDisk
from agent.queue.queue import Queue, open_queue
from tests.queue.entries import RUN, entry, ids


class FailingDisk(RealDisk):
    """Fails the n-th writes and syncs of segments it is told to, a write after half of its bytes."""

    def __init__(self, *, writes: Sequence[int] = (), syncs: Sequence[int] = (), truncate: bool = True) -> None:
        self.writes = self.syncs = 0
        self._failing_writes, self._failing_syncs, self._may_truncate = set(writes), set(syncs), truncate

    def write(self, handle: int, buffers: Sequence[bytes], offset: int) -> int:
        """Write, or fail with the disk full."""
        self.writes += 1
        if self.writes in self._failing_writes:
            data = b"".join(buffers)
            super().write(handle, [data[: len(data) // 2]], offset)
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(handle, buffers, offset)

    def sync(self, handle: int) -> None:
        """Sync, or fail."""
        self.syncs += 1
        if self.syncs in self._failing_syncs:
            raise OSError(errno.EIO, "Input/output error")
        super().sync(handle)

    def truncate(self, handle: int, size: int) -> None:
        """Truncate, or fail for ever."""
        if not self._may_truncate:
            raise OSError(errno.EIO, "Input/output error")
        super().truncate(handle, size)


def _through(folder: Path, disk: RealDisk, batches: int, sync: str = "interval") -> list[str]:
    """Append the batches one by one and deliver them; the record ids in the order of delivery."""

    async def main() -> list[str]:
        config = QueueConfig(path=folder, min_free=0, sync_interval=0.001, sync=sync)  # type: ignore[arg-type]
        async with asyncio.timeout(20), open_queue(config, RUN, disk) as queue:
            delivering = asyncio.create_task(_deliver(queue, batches * 3))
            for batch in range(1, batches + 1):
                await queue.append(entry(batch, position=batch), "block")
            found = await delivering
            ledger = make_ledger(queue.counts, queue.total, queue.cursors)
            assert ledger.balances
            assert ledger.outputs["out"].fates == {"delivered": batches * 3}
            assert queue.positions("in") == {"s": str(batches).encode()}
            return found

    return asyncio.run(main())


async def _deliver(queue: Queue, records: int) -> list[str]:
    subscription = queue.subscribe("out", from_oldest=True)
    found: list[str] = []
    while len(found) < records:
        for stored in await subscription.read(10**6):
            frame = stored.frame
            found += [f"{frame.run}-{part.batch:x}-{i:x}" for part in frame.parts for i in range(part.count)]
            done = Range(frame.seq, frame.seq, frame.count, frame.total + frame.count)
            subscription.finish(done, {"delivered": frame.count})
    return found


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "DISK_RETRY_SECS", 0.001)


@pytest.mark.parametrize("truncate", [True, False], ids=["cut back", "cannot be cut back"])
@pytest.mark.parametrize("first", range(1, 12))
def test_failed_writes_lose_and_repeat_nothing(tmp_path: Path, first: int, truncate: bool) -> None:
    """Whichever writes fail half-way, also several in a row, every record comes out once and in order."""
    disk = FailingDisk(writes=[first, first + 1, first + 4], truncate=truncate)
    assert _through(tmp_path, disk, 12) == [i for b in range(1, 13) for i in ids(b)]
    assert read_ledger(tmp_path).balances


@pytest.mark.parametrize("sync", ["interval", "always"])
@pytest.mark.parametrize("first", range(1, 12))
def test_failed_syncs_lose_and_repeat_nothing(tmp_path: Path, first: int, sync: str) -> None:
    """Whichever syncs fail, what was not durable is written again, and every record comes out once and in order."""
    disk = FailingDisk(syncs=[first, first + 1, first + 4])
    assert _through(tmp_path, disk, 12, sync) == [i for b in range(1, 13) for i in ids(b)]
    assert read_ledger(tmp_path).balances


def test_segment_begins_only_behind_durable_ones(tmp_path: Path) -> None:
    """When a segment is there, everything before it has been synced: a power cut cannot take the middle."""
    order: list[str] = []

    class Watching(RealDisk):
        def create(self, path: Path) -> int:
            order.append("create")
            return super().create(path)

        def write(self, handle: int, buffers: Sequence[bytes], offset: int) -> int:
            order.append("write" if offset else "header")
            return super().write(handle, buffers, offset)

        def sync(self, handle: int) -> None:
            order.append("sync")
            super().sync(handle)

    async def main() -> None:
        config = QueueConfig(path=tmp_path, min_free=0, sync_interval=10, segment_bytes=1)
        async with open_queue(config, RUN, Watching()) as queue:
            for batch in range(1, 6):
                await queue.append(entry(batch), "block")

    asyncio.run(main())
    begins = [i for i, call in enumerate(order) if call == "create"]
    assert len(begins) == 5
    for i in begins[1:]:
        writes = [j for j in range(i) if order[j] == "write"]
        assert "sync" in order[writes[-1] : i]
