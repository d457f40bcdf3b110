"""The output to Logstash's input ``http``: each batch is one request, a JSON array or lines.

A request without an answer may be at work still: the input holds it as long as its pipeline is full, and has taken it
once there is room. So a repeat may double records, unless the pipeline writes them under their ids.
"""

from types import TracebackType
from typing import TYPE_CHECKING, Final

from agent.delivery.contract import DeliveryBatch, Outcome
from agent.errors import CutOff, NoAnswer, Paused, Refused
from agent.outputs.gzip import gzipped
from agent.outputs.http_client.documents import CONTENT_TYPES, body_of
from agent.outputs.http_client.refusal import LARGE_BYTES, refusal
from agent.outputs.logstash.config import LogstashConfig
from agent.outputs.logstash.connect import unreachable, without_password

if TYPE_CHECKING:
    from agent.outputs.http_client.connection import Connection

_MAX_SAID: Final = 200


class LogstashHttpOutput:
    """Sends to the input ``http``, at least once. Connections live between ``__aenter__`` and ``__aexit__``."""

    ordered = False

    def __init__(self, config: LogstashConfig) -> None:
        self.id = config.id
        self._config = config
        self._connection: Connection | None = None
        self._headers = {"content-type": CONTENT_TYPES[config.format]}
        if config.compress:
            self._headers["content-encoding"] = "gzip"

    async def __aenter__(self) -> "LogstashHttpOutput":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def send(self, batch: DeliveryBatch) -> Outcome:
        """Send once. A success is an answer for the whole batch: the input has no other."""
        if batch.count == 0:
            return Outcome()
        body = body_of(batch, self._config.format)
        if self._config.compress:
            body = gzipped(body)
        try:
            answer = await self._connected().ask("POST", "", body, self._headers)
        except CutOff as cut:
            if batch.count > 1 and len(body) >= LARGE_BYTES:
                raise
            raise NoAnswer(str(cut)) from cut
        if 200 <= answer.status < 300:
            return Outcome()
        said = answer.body[:_MAX_SAID].decode(errors="replace").replace("\n", " ").strip() or "no reason given"
        trouble = refusal(answer.status, answer.headers, said, "Logstash")
        if isinstance(trouble, Refused):  # what a record holds is never the reason: the input takes any text
            raise Paused(f"every request is refused: status {answer.status}: {said}")
        raise trouble

    async def check(self) -> list[str]:
        """Which hosts cannot be connected to, or whether the proxy cannot. More cannot be asked: every request becomes
        an event."""
        proxy = self._config.proxy
        return await unreachable(self._config, self._config.hosts if proxy is None else [without_password(proxy)])

    def rescue(self, record: str, document: bytes, reason: str, max_bytes: int | None = None) -> bytes | None:
        """None: nothing is refused for what is in it."""
        return None

    def _connected(self) -> "Connection":
        """The connection, made when first needed. Raises ``Paused`` when a certificate cannot be used."""
        if self._connection is None:
            from agent.outputs.http_client.opening import open_connection

            self._connection = open_connection(self._config, self._config.hosts)
        return self._connection
