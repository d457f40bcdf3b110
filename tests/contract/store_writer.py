"""A process that stores numbered batches and says so, to be killed at any moment: ``python -m
tests.contract.store_writer FOLDER LAST``.

It goes on behind the cursor it finds in the store, as the agent does. Each batch is the same however often it is
made.
"""

import asyncio
import random
import sys
from pathlib import Path

from agent.delivery.contract import DeliveryBatch
from agent.outputs.local.config import LocalConfig
from agent.outputs.local.output import LocalOutput
from tests.fakes.batches import batch_of, document

ROOM = 16 * 1024**2


def documents_of(number: int) -> list[bytes]:
    """The documents of a batch: one to eighty, some of them long, none like another."""
    numbers = random.Random(number)
    sizes = [numbers.choice((0, 10, 1000)) for _ in range(numbers.randint(1, 80))]
    return [document(number, index=i, noise=numbers.randbytes(size).hex()) for i, size in enumerate(sizes)]


def cursor_of(number: int) -> bytes:
    """The cursor behind a batch."""
    return b"batch %d" % number


def batch(number: int) -> DeliveryBatch:
    """A batch and its cursor, as the delivery loop makes it."""
    made = batch_of(documents_of(number), run=f"run{number}")
    made.cursor_after = cursor_of(number)
    return made


async def store(folder: Path, last: int) -> None:
    """Store what is missing up to the batch ``last``."""
    async with LocalOutput(LocalConfig(path=folder, max_bytes=ROOM)) as output:
        cursor = await output.load_cursor()
        for number in range(int(cursor.split()[1]) + 1 if cursor else 0, last + 1):
            await output.send(batch(number))
            print(number, flush=True)
            if number % 7 == 0:
                await output.make_durable()


if __name__ == "__main__":
    asyncio.run(store(Path(sys.argv[1]), int(sys.argv[2])))
