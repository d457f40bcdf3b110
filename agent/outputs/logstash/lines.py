"""The output to Logstash's input ``tcp`` with the codec ``json_lines``: best effort.

The protocol has no acknowledgements. A batch counts as delivered when the system has taken all of it (through TLS, all
but about the last 128 KiB); what lies in buffers on the way when a connection breaks or Logstash dies is lost, and
nobody is told.
"""

import asyncio
from types import TracebackType
from typing import Final

from agent.delivery.contract import DeliveryBatch, Outcome
from agent.errors import NoAnswer
from agent.outputs.logstash.config import LogstashConfig
from agent.outputs.logstash.connect import unreachable
from agent.outputs.logstash.links import Link, Links, Lost

PIECE_BYTES: Final = 64 * 1024
"""So much is written at a time. TLS says that it is behind only when it is given more while the connection is: all at
once, it would take anything."""


class LogstashTcpOutput:
    """Writes lines of JSON. Connections live between ``__aenter__`` and ``__aexit__``."""

    ordered = False

    def __init__(self, config: LogstashConfig) -> None:
        self.id = config.id
        self._config = config
        self._links = Links(config, LineLink)

    async def __aenter__(self) -> "LogstashTcpOutput":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._links.close()

    async def send(self, batch: DeliveryBatch) -> Outcome:
        """Write the batch and wait until the system has taken it."""
        if batch.count == 0:
            return Outcome()
        async with self._links.shared() as (host, link):
            await link.write(batch.lines(), float(self._config.request_timeout))
            if link.lost is not None:
                self._links.drop(host, link)
                raise NoAnswer(f"{host}: {link.lost.why}")
            self._links.answered(host)
            return Outcome()

    async def check(self) -> list[str]:
        """Which hosts cannot be connected to."""
        return await unreachable(self._config, self._config.hosts)

    def rescue(self, record: str, document: bytes, reason: str, max_bytes: int | None = None) -> bytes | None:
        """None: nothing is refused."""
        return None


class LineLink(Link):
    """A connection that only writes."""

    def __init__(self) -> None:
        super().__init__()
        self._turn = asyncio.Lock()
        self._written = asyncio.Event()

    async def write(self, lines: bytes, timeout_secs: float) -> None:
        """Write, one caller after the other, and return when nothing is left to be written or the connection is lost.
        One that does not take ``PIECE_BYTES`` within ``timeout_secs`` is given up."""
        async with self._turn:
            await self._write(memoryview(lines), timeout_secs)

    async def _write(self, lines: memoryview, timeout_secs: float) -> None:
        try:
            for start in range(0, len(lines), PIECE_BYTES):
                if self.lost is not None:
                    return
                self.transport.write(lines[start : start + PIECE_BYTES])
                async with asyncio.timeout(timeout_secs):
                    await self._written.wait()
        except TimeoutError:
            self.lose(Lost(f"what is sent is not taken within {timeout_secs:g} s"))
        except asyncio.CancelledError:
            self.lose(Lost("given up in the middle of a batch"))  # nothing must follow a line cut short
            raise

    def lose(self, lost: Lost) -> None:
        """Nobody waits for it any more."""
        super().lose(lost)
        self._written.set()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """From now on say when all is written."""
        super().connection_made(transport)
        # TLS counts from the limit on, not above it: with 0 it would be behind when nothing is left.
        self.transport.set_write_buffer_limits(high=1 if transport.get_extra_info("ssl_object") else 0, low=0)
        self._written.set()

    def pause_writing(self) -> None:
        """Something is left to be written."""
        self._written.clear()

    def resume_writing(self) -> None:
        """All is written."""
        self._written.set()
