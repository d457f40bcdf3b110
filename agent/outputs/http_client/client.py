"""What the outputs over plain HTTP share: connecting as the configuration says, and posting a body."""

from types import TracebackType
from typing import Self

from agent.errors import CutOff, NoAnswer, SendError
from agent.outputs.gzip import gzipped
from agent.outputs.http_client.connection import Answer, Connection
from agent.outputs.http_client.opening import open_connection
from agent.outputs.http_client.options import HttpClientOptions
from agent.outputs.http_client.refusal import LARGE_BYTES


class HttpClient:
    """One output's way to its hosts. Everything it holds lives between ``__aenter__`` and ``__aexit__``."""

    def __init__(self, config: HttpClientOptions) -> None:
        self._config = config
        self._connection: Connection | None = None

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

    def _connected(self) -> Connection:
        """The connection, made when first needed. Raises ``Paused`` when a certificate's file cannot be used."""
        if self._connection is None:
            token = self._config.token
            headers = {"authorization": f"Bearer {token}"} if token is not None else None
            self._connection = open_connection(self._config, self._config.hosts, headers)
        return self._connection
