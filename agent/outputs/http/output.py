"""The output ``http``: each batch as one request."""

from hashlib import blake2b
from typing import Self

from agent.delivery.contract import DeliveryBatch, Outcome
from agent.errors import SendError
from agent.outputs.http.config import HttpOutputConfig
from agent.outputs.http_client.client import HttpClient
from agent.outputs.http_client.connection import Answer
from agent.outputs.http_client.documents import CONTENT_TYPES, body_of
from agent.outputs.http_client.doubt import Doubt
from agent.outputs.http_client.refusal import refusal, said


class HttpOutput:
    """Posts documents. At least once: a request whose answer was lost is sent again, under the same key."""

    ordered = False

    def __init__(self, config: HttpOutputConfig) -> None:
        self.id = config.id
        self._config = config
        self._client = HttpClient(config)
        self._doubt = Doubt(self._send_once)

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._client.__aexit__(None, None, None)

    async def send(self, batch: DeliveryBatch) -> Outcome:
        """Send once; the request is taken whole or not at all. Of what is refused see ``Doubt``."""
        return await self._doubt.send(batch)

    async def _send_once(self, batch: DeliveryBatch) -> Outcome:
        config = self._config
        headers = {"content-type": CONTENT_TYPES[config.format]}
        if config.idempotency_header is not None:
            headers[config.idempotency_header] = idempotency_key(batch.ids())
        answer = await self._client.send(config.method, config.path, body_of(batch, config.format), headers)
        if self._is_success(answer.status):
            return Outcome()
        raise refusal(answer.status, answer.headers, _said(answer), "the receiver")

    def _is_success(self, status: int) -> bool:
        return status in self._config.success if self._config.success else 200 <= status < 300

    async def check(self) -> list[str]:
        """Whether the address answers a ``HEAD`` with something that leaves room for hope: whether it takes a batch
        only a batch can tell."""
        try:
            answer = await self._client.ask("HEAD", self._config.path)
        except SendError as error:
            return [str(error)]
        if answer.status in (401, 403, 404, 407, 410, 502, 503, 504) or 300 <= answer.status < 400:
            return [str(refusal(answer.status, answer.headers, _said(answer), "the receiver"))]
        return []

    def rescue(self, record: str, document: bytes, reason: str, max_bytes: int | None = None) -> bytes | None:
        """None: what a receiver would rather take nobody knows."""
        return None


def idempotency_key(ids: list[str]) -> str:
    """A hash of the records' ids: two requests have the same if and only if they hold the same records."""
    return blake2b("\n".join(ids).encode(), digest_size=16).hexdigest()


def _said(answer: Answer) -> str:
    return said(answer.body) or f"status {answer.status}"
