"""`modeltail queue` looks without touching, and lets go of an output only when nobody is using the queue."""

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.queue.command import queue_command
from agent.queue.config import QueueConfig
from agent.queue.queue import open_queue
from tests.queue.entries import RUN, entry


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A queue with three records that an output `old` has not read."""

    async def main() -> None:
        async with open_queue(QueueConfig(path=tmp_path, min_free=0), RUN) as queue:
            queue.subscribe("old", from_oldest=True)
            await queue.append(entry(1), "block")

    asyncio.run(main())
    return tmp_path


def _call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(queue_command, arguments, standalone_mode=False)
    return int(result.return_value), result.output


def test_status_tells_what_is_there_and_changes_nothing(folder: Path) -> None:
    """Segments, sources and outputs are named; the files stay as they are."""
    before = {path: path.read_bytes() for path in folder.iterdir()}
    status, text = _call("status", "--queue", str(folder))
    assert status == 0
    assert "1 segments" in text
    assert "output old: 3 records queued" in text
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_forgotten_output_holds_nothing_back(folder: Path) -> None:
    """After `forget` the cursor is gone; forgetting it again says so."""
    assert _call("forget", "old", "--queue", str(folder))[0] == 0
    assert not (folder / "cursor-old").exists()
    assert _call("forget", "old", "--queue", str(folder))[0] == 2


def test_queue_in_use_is_left_alone(folder: Path) -> None:
    """While an agent holds the queue, nothing is written to it."""

    async def main() -> tuple[int, str]:
        async with open_queue(QueueConfig(path=folder, min_free=0), RUN):
            return _call("forget", "old", "--queue", str(folder))

    status, text = asyncio.run(main())
    assert status == 1
    assert "stop it first" in text
    assert (folder / "cursor-old").exists()


def test_missing_queue_is_a_sentence(tmp_path: Path) -> None:
    """No queue is said plainly."""
    status, text = _call("status", "--queue", str(tmp_path / "none"))
    assert status == 1
    assert "there is no queue" in text
