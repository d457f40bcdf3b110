"""The model's output passed on to a reader who takes his time."""

import asyncio
import os
import threading

import pytest

from agent.inputs.exec.pass_on import HELD_BYTES, PassOn

BLOCK = bytes(range(256)) * 400


async def _pass_on(fd: int, blocks: int) -> None:
    pass_on = PassOn(fd, "stdout", complete=True)
    for _ in range(blocks):
        await pass_on.give(BLOCK)
    pass_on.close()
    await pass_on.wait_done(60)


@pytest.mark.parametrize("blocking", [True, False])
def test_complete_loses_no_byte_to_a_slow_reader(blocking: bool) -> None:
    """The giver waits; also where somebody made the descriptor non-blocking."""
    reading, writing = os.pipe()
    os.set_blocking(writing, blocking)
    seen = bytearray()

    def read_slowly() -> None:
        while data := os.read(reading, 3001):
            seen.extend(data)

    reader = threading.Thread(target=read_slowly)
    reader.start()
    asyncio.run(_pass_on(writing, 50))
    os.close(writing)
    reader.join()
    os.close(reading)
    assert bytes(seen) == BLOCK * 50


def test_otherwise_the_giver_never_waits() -> None:
    """What does not fit is left out in whole pieces; what is passed on keeps its order and its bytes."""
    reading, writing = os.pipe()
    seen, everything_given = bytearray(), threading.Event()

    def read_late() -> None:
        everything_given.wait()
        while data := os.read(reading, 1 << 16):
            seen.extend(data)

    reader = threading.Thread(target=read_late)
    reader.start()

    async def give() -> None:
        pass_on = PassOn(writing, "stdout", complete=False)
        for _ in range(100):
            await pass_on.give(BLOCK)
        everything_given.set()
        pass_on.close()
        await pass_on.wait_done(60)

    asyncio.run(give())
    os.close(writing)
    reader.join()
    os.close(reading)
    assert len(seen) % len(BLOCK) == 0
    assert bytes(seen) == BLOCK * (len(seen) // len(BLOCK))
    assert HELD_BYTES <= len(seen) < 100 * len(BLOCK)


def test_a_reader_that_is_gone_is_no_trouble() -> None:
    """`modeltail exec -- model | head`: the rest goes nowhere, and nobody waits."""
    reading, writing = os.pipe()
    os.close(reading)
    asyncio.run(_pass_on(writing, 100))
    os.close(writing)
