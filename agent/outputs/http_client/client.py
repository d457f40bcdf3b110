"""What the outputs over plain HTTP share: connecting as the configuration says, posting a body, believing an answer."""

from types import TracebackType
from typing import Final, Self

from agent.errors import CutOff, NoAnswer, Paused, Refused, SendError
from agent.outputs.gzip import gzipped
from agent.outputs.http_client.connection import Answer, Connection
from agent.outputs.http_client.opening import open_connection
from agent.outputs.http_client.options import HttpClientOptions
from agent.outputs.http_client.refusal import LARGE_BYTES

MAX_REFUSED_IN_A_ROW: Final = 20
"""So many records are given up one after the other on the word of the server. When nothing was taken in between, the
request itself is probably what it cannot read."""


class HttpClient:
    """One output's way to its hosts. Everything it holds lives between ``__aenter__`` and ``__aexit__``."""

    def __init__(self, config: HttpClientOptions) -> None:
        self._config = config
        self._connection: Connection | None = None
        self._refused_in_a_row = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def send(self, method: str, target: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Send a body, compressed if the configuration says so; ``content-type`` is among the headers. Raises what
        ``Connection.ask`` does, but ``CutOff`` only where the request was large and the host answers a small one."""
        if self._config.gzip:
            body = gzipped(body)
            headers = {**headers, "content-encoding": "gzip"}
        try:
            return await self._connected().ask(method, target, body, headers)
        except CutOff as cut:
            if len(body) < LARGE_BYTES or not await self._answers(target):
                raise NoAnswer(str(cut)) from cut
            raise

    async def ask(self, method: str, target: str) -> Answer:
        """A request without a body."""
        return await self._connected().ask(method, target)

    async def _answers(self, target: str) -> bool:
        """Whether the server answers at all, whatever it says to something small."""
        try:
            answer = await self.ask("GET", target)
        except SendError:
            return False
        return answer.status < 500 and answer.status != 429

    def took(self) -> None:
        """A request was taken: refusals are about records, not about how they are sent."""
        self._refused_in_a_row = 0

    def refused(self, refusal: Refused, records: int) -> SendError:
        """What to make of a request of so many records that was refused for what is in it: the refusal itself, or
        ``Paused`` when record after record was refused and none taken."""
        if records > 1:
            return refusal
        self._refused_in_a_row += 1
        if self._refused_in_a_row <= MAX_REFUSED_IN_A_ROW:
            return refusal
        return Paused(
            f"{MAX_REFUSED_IN_A_ROW} records in a row were refused; no more are given up, since the request itself "
            f"may be what is wrong (are address and `path` right?): {refusal}"
        )

    def _connected(self) -> Connection:
        """The connection, made when first needed. Raises ``Paused`` when a certificate's file cannot be used."""
        if self._connection is None:
            token = self._config.token
            headers = {"authorization": f"Bearer {token}"} if token is not None else None
            self._connection = open_connection(self._config, self._config.hosts, headers)
        return self._connection
