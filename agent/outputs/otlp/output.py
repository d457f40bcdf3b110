"""The output ``otlp``: each batch as one request of log records."""

from typing import Final, Self

from agent.delivery.contract import DeliveryBatch, Outcome
from agent.errors import Refused, SendError
from agent.log import Log
from agent.outputs.http_client.client import HttpClient
from agent.outputs.http_client.connection import Answer
from agent.outputs.http_client.doubt import Doubt
from agent.outputs.otlp import protobuf, text
from agent.outputs.otlp.answer import failure, partial_success
from agent.outputs.otlp.config import OtlpOutputConfig
from agent.outputs.otlp.record import record_of

log = Log("outputs.otlp")

_CONTENT_TYPES: Final = {"protobuf": "application/x-protobuf", "json": "application/json"}
_REQUESTS: Final = {"protobuf": protobuf.request, "json": text.request}


class OtlpOutput:
    """Sends log records. At least once: OTLP has nothing by which a repeat would be known."""

    ordered = False

    def __init__(self, config: OtlpOutputConfig) -> None:
        self.id = config.id
        self._config = config
        self._client = HttpClient(config)
        self._doubt = Doubt(self._send_once)
        self._request = _REQUESTS[config.encoding]

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._client.__aexit__(None, None, None)

    async def send(self, batch: DeliveryBatch) -> Outcome:
        """Send once. Where the server refused some records without saying which, all count as delivered, and how many
        were refused is said and counted beside the sum. Of what is refused whole see ``Doubt``."""
        return await self._doubt.send(batch)

    async def _send_once(self, batch: DeliveryBatch) -> Outcome:
        answer = await self._post(self._request(map(record_of, batch.documents())))
        if not 200 <= answer.status < 300:
            raise failure(answer.status, answer.headers, answer.body)
        refused, said = partial_success(answer.headers, answer.body)
        if refused >= batch.count:
            return Outcome(rejected=dict.fromkeys(range(batch.count), said or "refused without a reason"))
        if refused:
            log.error("Records were refused without being named; they count as delivered",
                      output=self.id, records=refused, of=batch.count, said=said)  # fmt: skip
        return Outcome(refused_unnamed=refused)

    async def check(self) -> list[str]:
        """Whether a request without records is taken."""
        try:
            answer = await self._post(self._request(()))
            if not 200 <= answer.status < 300:
                trouble = failure(answer.status, answer.headers, answer.body)
                if isinstance(trouble, Refused):
                    return [f"a request without records is refused: {trouble}; is this address an OTLP server's?"]
                return [str(trouble)]
            partial_success(answer.headers, answer.body)
        except SendError as error:
            return [str(error)]
        return []

    def rescue(self, record: str, document: bytes, reason: str, max_bytes: int | None = None) -> bytes | None:
        """None: what would be taken instead the protocol does not say."""
        return None

    async def _post(self, body: bytes) -> Answer:
        headers = {"content-type": _CONTENT_TYPES[self._config.encoding]}
        return await self._client.send("POST", self._config.path, body, headers)
