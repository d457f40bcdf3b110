"""The output ``loki``: each batch as one push."""

from typing import Self

from agent.delivery.contract import DeliveryBatch, Outcome
from agent.errors import Refused, SendError
from agent.outputs.http_client.client import HttpClient
from agent.outputs.http_client.doubt import Doubt
from agent.outputs.http_client.refusal import said
from agent.outputs.loki.answer import failure, is_taken, refusals
from agent.outputs.loki.config import TENANT_HEADER, LokiConfig
from agent.outputs.loki.push import Shape, push

_JSON = {"content-type": "application/json"}


class LokiOutput:
    """Pushes lines. At least once; a line that comes twice is the same in stream, time and text."""

    ordered = False

    def __init__(self, config: LokiConfig) -> None:
        self.id = config.id
        self._config = config
        self._client = HttpClient(config)
        self._doubt = Doubt(self._send_once)
        self._shape = Shape(config.labels, config.structured_metadata)
        self._headers = _JSON | ({} if config.tenant is None else {TENANT_HEADER: config.tenant})

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._client.__aexit__(None, None, None)

    async def send(self, batch: DeliveryBatch) -> Outcome:
        """Send once. When lines were refused for their time, those are rejected. The others are sent again if Loki does
        not say that these were all: they are there, most likely, but only a success says so. Of what is refused without
        being named see ``Doubt``."""
        return await self._doubt.send(batch)

    async def _send_once(self, batch: DeliveryBatch) -> Outcome:
        entries = self._shape.entries(batch.ids(), batch.documents())
        answer = await self._client.send("POST", self._config.path, push(entries), self._headers)
        if is_taken(answer.status, answer.headers):
            return Outcome()
        trouble = failure(answer.status, answer.headers, answer.body)
        if not isinstance(trouble, Refused):
            raise trouble
        refused, are_all = refusals(answer.body, entries)
        if not refused:
            raise trouble
        rejected = dict.fromkeys(refused, said(answer.body))
        if are_all:
            return Outcome(rejected=rejected)
        return Outcome(rejected=rejected, retry=[i for i in range(batch.count) if i not in rejected], in_doubt=True)

    async def check(self) -> list[str]:
        """Whether a push without streams is answered as Loki does: it takes it, or says that it is empty."""
        try:
            answer = await self._client.send("POST", self._config.path, push(()), self._headers)
            if is_taken(answer.status, answer.headers) or answer.status == 422:
                return []
        except SendError as error:
            return [str(error)]
        trouble = failure(answer.status, answer.headers, answer.body)
        if isinstance(trouble, Refused):
            return [f"a push without streams is refused: {trouble}; is this address Loki's?"]
        return [str(trouble)]

    def rescue(self, record: str, document: bytes, reason: str, max_bytes: int | None = None) -> bytes | None:
        """None: a line is refused for its time or its length, and neither can be another."""
        return None
