"""Records in a bucket, sent to an output under the ids they have: a hole there is filled, and nothing is there twice
where ids are recognised. Changes nothing in the bucket, and nothing in the ledger."""

from collections.abc import AsyncIterator, Callable

import msgspec

from agent.delivery.config import DeliveryConfig
from agent.delivery.contract import DeliveryBatch, Output
from agent.delivery.replay import Replayed
from agent.delivery.resend import resend
from agent.outputs.s3.find import Found


class _Waiting(msgspec.Struct):
    """Records of one data stream that wait for company."""

    ids: list[str] = []
    documents: list[bytes] = []
    size: int = 0


class Replay:
    """One replay: ``done`` is what became of the records so far, also when ``run`` is cut short by an error.
    ``without_id`` had no id to be sent under, and were left out."""

    def __init__(self, output: Output, config: DeliveryConfig, tell: Callable[[str], None]) -> None:
        self.done = Replayed()
        self.without_id = 0
        self._output = output
        self._config = config
        self._tell = tell
        self._waiting: dict[str, _Waiting] = {}

    async def run(self, found: AsyncIterator[Found], sent: Callable[[], None]) -> None:
        """Send all. ``sent`` is called after each batch. Raises ``Retryable`` or ``Paused`` when the output, or the
        bucket, takes no request at all."""
        async for record in found:
            if record.said.event.id is None:
                self.without_id += 1
                continue
            waiting = self._waiting.setdefault(record.stream, _Waiting())
            waiting.ids.append(record.said.event.id)
            waiting.documents.append(record.document)
            waiting.size += len(record.document)
            if waiting.size >= self._config.batch_bytes or len(waiting.ids) >= self._config.batch_records:
                await self._send(record.stream)
                sent()
        for stream in list(self._waiting):
            await self._send(stream)
            sent()

    async def _send(self, stream: str) -> None:
        waiting = self._waiting.pop(stream)
        batch = DeliveryBatch.of_documents(stream, waiting.ids, waiting.documents)
        self.done.add(batch.count, await resend(self._output, batch, self._config, self._tell))
