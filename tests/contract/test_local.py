"""What the delivery loop relies on in the output ``local``."""

import asyncio
import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from agent.delivery.contract import Outcome
from agent.errors import ConfigError, Retryable
from agent.outputs.local.config import LocalConfig
from agent.outputs.local.output import LocalOutput
from agent.outputs.local.reader import parts
from tests.contract.store_writer import ROOM, batch, cursor_of, documents_of
from tests.unit.local.stored import everything

LAST = 600
KILLS = 10
PATIENCE_SECS = 60
ROOT = Path(__file__).parents[2]


def local(folder: Path) -> LocalOutput:
    """The output on a store in this folder."""
    return LocalOutput(LocalConfig(id="store", path=folder, max_bytes=ROOM))


def test_killed_writer_stores_every_batch_exactly_once(tmp_path: Path) -> None:
    """SIGKILL at random moments: what was acknowledged is there, what was not is sent again, nothing is there twice."""
    moments = random.Random(tmp_path.name)
    for _ in range(KILLS):
        acknowledged = write_until_killed(tmp_path, moments.randint(1, 20), moments.random() / 100)
        cursor = stored_cursor(tmp_path)
        assert cursor is not None
        assert int(cursor.split()[1]) >= acknowledged
    subprocess.run(writer(tmp_path), check=True, cwd=ROOT, stdout=subprocess.DEVNULL, timeout=PATIENCE_SECS)
    assert everything(tmp_path) == [document for number in range(LAST + 1) for document in documents_of(number)]
    assert stored_cursor(tmp_path) == cursor_of(LAST)
    assert len(parts(tmp_path)) > 1
    assert not list(tmp_path.glob("damaged-*"))


def writer(folder: Path) -> list[str]:
    """The command that writes what is missing."""
    return [sys.executable, "-m", "tests.contract.store_writer", str(folder), str(LAST)]


def write_until_killed(folder: Path, batches: int, secs: float) -> int:
    """Write, and be killed a moment after so many batches; the last number acknowledged."""
    with subprocess.Popen(writer(folder), cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(batches)]
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(secs)
        process.kill()
        return int((lines + process.stdout.readlines())[-1])


def stored_cursor(folder: Path) -> bytes | None:
    """The cursor as the next start finds it."""

    async def load() -> bytes | None:
        async with local(folder) as output:
            return await output.load_cursor()

    return asyncio.run(load())


def test_batch_is_answered_and_its_cursor_kept(tmp_path: Path) -> None:
    """Everything is delivered; the same batch again is a repeat; the cursor is there at the next start."""

    async def talk() -> None:
        async with local(tmp_path) as output:
            assert output.id == "store"
            assert output.ordered
            assert await output.load_cursor() is None
            assert await output.send(batch(1)) == Outcome()
            assert await output.send(batch(1)) == Outcome(duplicates=len(documents_of(1)))
            assert await output.send(batch(2)) == Outcome()
            await output.make_durable()
            assert output.counts.stored == len(documents_of(1) + documents_of(2))
            assert output.rescue("id", b"{}", "reason") is None

    asyncio.run(talk())
    assert stored_cursor(tmp_path) == cursor_of(2)
    assert everything(tmp_path) == documents_of(1) + documents_of(2)


def test_trouble_is_retryable_and_loses_nothing(tmp_path: Path) -> None:
    """A batch that cannot be stored now is not stored at all, and taken later."""

    async def talk() -> None:
        async with local(tmp_path) as output:
            await output.send(batch(1))
            with closing(sqlite3.connect(parts(tmp_path)[0], isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                with pytest.raises(Retryable, match="locked"):
                    await output.send(batch(2))
            assert await output.load_cursor() == cursor_of(1)
            assert await output.send(batch(2)) == Outcome()

    asyncio.run(talk())
    assert everything(tmp_path) == documents_of(1) + documents_of(2)


def test_send_that_is_cancelled_leaves_a_store_that_knows(tmp_path: Path) -> None:
    """Whether or not the batch was stored, the cursor says so, and sending it again does not double it."""

    async def talk() -> None:
        async with local(tmp_path) as output:
            sending = asyncio.create_task(output.send(batch(1)))
            await asyncio.sleep(0)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            await output.send(batch(1))

    asyncio.run(talk())
    assert everything(tmp_path) == documents_of(1)


def test_check_says_what_is_wrong_and_writes_nothing(tmp_path: Path) -> None:
    """A store that can be made is ready; one below a file is not, and cannot be entered."""
    (tmp_path / "file").write_bytes(b"")

    async def talk() -> None:
        assert await local(tmp_path / "new").check() == []
        [problem] = await local(tmp_path / "file" / "store").check()
        assert "is a file" in problem
        with pytest.raises(ConfigError, match="is a file"):
            async with local(tmp_path / "file" / "store"):
                pass

    asyncio.run(talk())
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
