"""One batch, one fake, and what became of it."""

import asyncio
import json
from collections.abc import Callable, Sequence

from agent.delivery.contract import DeliveryBatch, Outcome, Output
from agent.errors import SendError
from tests.fakes.receiver import Fault, Receiver

STREAM = "modeltail.inference-default"
TIME = "2026-11-22T10:00:00.123456Z"
TIME_NS = 1795341600_123456000

Make = Callable[[str], Output]
"""An output towards a server at this address."""


def document(record: str, **fields: object) -> bytes:
    """A document with the id an output looks for."""
    content = {"@timestamp": TIME, "message": f"record {record}", "event": {"id": record}, **fields}
    return json.dumps(content, separators=(",", ":")).encode()


def batch_of(*records: str, **fields: object) -> DeliveryBatch:
    """A batch of small documents with these ids."""
    return DeliveryBatch.of_documents(STREAM, [*records], [document(record, **fields) for record in records])


def send(
    server: Receiver, make: Make, *batches: DeliveryBatch, faults: Sequence[Fault] = ()
) -> list[Outcome | SendError]:
    """What became of each batch, one after the other."""

    async def play() -> list[Outcome | SendError]:
        ends: list[Outcome | SendError] = []
        async with asyncio.timeout(20), server, make(server.url) as output:
            server.faults += faults
            for batch in batches:
                try:
                    ends.append(await output.send(batch))
                except SendError as error:
                    ends.append(error)
        return ends

    return asyncio.run(play())


def check(server: Receiver, make: Make, *faults: Fault) -> list[str]:
    """What the output's check says of the server."""

    async def play() -> list[str]:
        async with asyncio.timeout(20), server, make(server.url) as output:
            server.faults += faults
            return await output.check()

    return asyncio.run(play())
