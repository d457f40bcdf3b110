"""A disk whose reads fail now and then: every frame comes out once and in order all the same."""

import asyncio
import errno
from pathlib import Path

import pytest

from agent.queue import subscription as subscription_module
from agent.queue.config import QueueConfig
from agent.queue.disk import RealDisk
from agent.queue.group import Entry
from agent.queue.queue import open_queue
from tests.queue.damages import finish, make_queue
from tests.queue.entries import RUN, entry, ids


class DiskOfBadReads(RealDisk):
    """Fails the n-th calls that read, once it is told to begin."""

    def __init__(self, failing: set[int]) -> None:
        self.calls: int | None = None
        self._failing = failing

    def open(self, path: Path, *, write: bool = False) -> int:
        """Open, or fail."""
        self._count()
        return super().open(path, write=write)

    def read(self, handle: int, size: int, offset: int) -> bytes:
        """Read, or fail."""
        self._count()
        return super().read(handle, size, offset)

    def _count(self) -> None:
        if self.calls is not None:
            self.calls += 1
            if self.calls in self._failing:
                raise OSError(errno.EIO, "Input/output error")


def _two_streams(batch: int) -> Entry:
    """A batch whose records make a group of two frames."""
    made = entry(batch, 3, position=batch)
    made.documents += entry(batch + 1, 3, stream="other-default").documents
    made.counts.accepted += 3
    return made


@pytest.mark.parametrize("failing", range(1, 40))
def test_failed_reads_lose_and_repeat_nothing(tmp_path: Path, failing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever reads fail, in the middle of a group too, what was read before is kept and the rest is read again."""
    monkeypatch.setattr(subscription_module, "_READ_RETRY_SECS", 0.0)
    make_queue(tmp_path)
    disk = DiskOfBadReads({failing, failing + 1, failing + 5})

    async def main() -> list[str]:
        config = QueueConfig(path=tmp_path, min_free=0, sync_interval=0.001)
        async with asyncio.timeout(20), open_queue(config, RUN, disk) as queue:
            subscription = queue.subscribe("out", from_oldest=False)
            await asyncio.gather(*(queue.append(_two_streams(batch), "block") for batch in (10, 12, 14)))
            disk.calls = 0
            found: list[str] = []
            while len(found) < 21 + 18:
                found += finish(subscription, await subscription.read(10**6))
            assert subscription.cursor.counts == {"delivered": 6 + 21 + 18}
            return found

    found = asyncio.run(main())
    assert found[:21] == [i for batch in range(3, 10) for i in ids(batch)]
    assert sorted(found[21:]) == sorted(i for batch in range(10, 16) for i in ids(batch))
