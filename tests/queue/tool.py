"""`modeltail` called as from a shell, in this process, and queues for it to look at."""

import asyncio
import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from agent import cli
from agent.queue.config import QueueConfig
from agent.queue.cursor import Range
from agent.queue.disk import RealDisk
from agent.queue.frame import Frame, Stored, documents_in
from agent.queue.group import Entry
from agent.queue.queue import open_queue
from agent.queue.subscription import Subscription
from agent.queue.walk import Good, Walk
from tests.queue.entries import RUN, entry


class Ran(NamedTuple):
    """How a command ended and what it wrote."""

    status: int
    out: str
    err: str


def modeltail(*arguments: str | Path) -> Ran:
    """Run a command."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    status = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main([str(argument) for argument in arguments])
        except SystemExit as end:
            status = int(end.code or 0)
    out.flush()
    out.seek(0)
    return Ran(status, out.read(), err.getvalue())


def config(folder: Path, segment_bytes: int = 1000) -> QueueConfig:
    """A queue of small segments, about three frames each."""
    return QueueConfig(path=folder, min_free=0, sync_interval=0.001, segment_bytes=segment_bytes)


def fill(
    folder: Path, entries: Sequence[Entry] | None = None, *, done: int = 0, output: str = "out", held: bool = False
) -> None:
    """A stopped queue with these batches, twelve small ones by default, of which an output has finished the first
    frames. With ``held`` a second output has finished none, so that none is deleted."""

    async def main() -> None:
        async with asyncio.timeout(20), open_queue(config(folder), RUN) as queue:
            if held:
                queue.subscribe("holder", from_oldest=True)
            subscription = queue.subscribe(output, from_oldest=True)
            for each in entries if entries is not None else [entry(batch) for batch in range(1, 13)]:
                await queue.append(each, "block")
            stored: list[Stored] = []
            while len(stored) < done:
                stored += await subscription.read(1)
            for one in stored[:done]:
                finish(subscription, one.frame)

    asyncio.run(main())


def finish(subscription: Subscription, frame: Frame) -> None:
    """The frame is delivered."""
    done = Range(frame.seq, frame.seq, frame.count, frame.total + frame.count)
    subscription.finish(done, {"delivered": frame.count})


def segments(folder: Path) -> list[Path]:
    """The segment files, oldest first."""
    return sorted(folder.glob("*.seg"))


def goods(folder: Path) -> list[Good]:
    """Every readable frame."""
    return [piece for piece in Walk(RealDisk(), folder) if isinstance(piece, Good)]


def delivered(folder: Path, output: str = "out") -> tuple[list[str], dict[str, int]]:
    """What an agent started on the folder delivers to the output: the documents' own numbers, and the counts after."""

    async def main() -> tuple[list[str], dict[str, int]]:
        found: list[str] = []
        async with asyncio.timeout(20), open_queue(config(folder), "later") as queue:
            subscription = queue.subscribe(output, from_oldest=True)
            while stored := await subscription.read_now(10**6):
                for s in stored:
                    found += [line.split(b'"')[3].decode() for line in documents_in(s.frame, s.body)]
                    finish(subscription, s.frame)
            return found, dict(subscription.cursor.counts)

    return asyncio.run(main())


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below the folder with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
