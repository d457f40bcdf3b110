"""The output: sends each batch to one of the hosts, in windows, and waits until they are acknowledged.

Lumberjack has no refusal. What an input cannot read (a number of more than a thousand digits, a nesting a thousand
deep) makes it hang up, as a stopping Logstash does too. So that such a record holds up nothing and no good one is given
up in its place, a batch under which connections break is sent in halves; and a single record is taken to be the reason
only when the other end shows that it is at work, right before it, on the connection that then breaks: by answering a
window without events, or by taking a record again that it has taken before.
"""

from functools import partial
from types import TracebackType
from typing import Final, NamedTuple

from agent.delivery.contract import DeliveryBatch, Outcome
from agent.errors import CutOff, NoAnswer, Paused, SendError
from agent.outputs.logstash.config import LogstashConfig
from agent.outputs.logstash.connect import unreachable
from agent.outputs.logstash.frames import WINDOW, window
from agent.outputs.logstash.links import Links, Lost
from agent.outputs.logstash.windows import WindowLink

KNOCK_SECS: Final = 1.0
"""How long a window without events may take to be answered."""

WITNESS_BYTES: Final = 64 * 1024
"""A larger record is not kept as a witness."""


class _Witness(NamedTuple):
    record: str
    document: bytes


class LumberjackOutput:
    """Sends to the input ``beats``, at least once. Links live between ``__aenter__`` and ``__aexit__``, one to a host,
    made when first needed."""

    ordered = False

    def __init__(self, config: LogstashConfig) -> None:
        self.id = config.id
        self._config = config
        self._links = Links(config, partial(WindowLink, float(config.request_timeout)))
        self._witness: _Witness | None = None

    async def __aenter__(self) -> "LumberjackOutput":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._links.close()

    async def send(self, batch: DeliveryBatch) -> Outcome:
        """Send once. What was acknowledged before a connection broke is delivered.

        A repeat goes over a connection of its own: should it break there, it takes nobody else's windows with it, and
        nobody else is the reason.
        """
        if batch.count == 0:
            return Outcome()
        if not (batch.in_doubt and batch.attempt > 1):
            host, link = await self._links.shared()
            return await self._send(batch, host, link)
        host, link = await self._links.alone()
        try:
            return await self._send(batch, host, link, is_repeat=True)
        finally:
            await link.close()

    async def _send(self, batch: DeliveryBatch, host: str, link: WindowLink, is_repeat: bool = False) -> Outcome:
        vouched = await self._vouch(batch, link) if is_repeat and batch.count == 1 else False
        acked = await self._write(link, batch)
        self._note_witness(batch, acked)
        if acked == batch.count:
            self._links.answered(host)
            return Outcome()
        assert link.lost is not None  # or it would still be waited for
        self._links.drop(host, link)
        if acked:
            return Outcome(retry=list(range(acked, batch.count)), in_doubt=True)
        raise _trouble(link.lost, host, points_at_batch=is_repeat and (batch.count > 1 or vouched))

    async def _write(self, link: WindowLink, batch: DeliveryBatch) -> int:
        """Write the batch, window by window; how many of its records were acknowledged."""
        ids, documents = batch.ids(), batch.documents()
        waiting = []
        for first in range(0, batch.count, WINDOW):
            part = ids[first : first + WINDOW]
            frames = window(part, documents[first : first + WINDOW], compress=self._config.compress)
            waiting.append(await link.send(frames, len(part)))
        return sum([await done for done in waiting])

    async def _vouch(self, batch: DeliveryBatch, link: WindowLink) -> bool:
        """Whether the other end shows that it is at work: then what breaks the connection next is to blame."""
        if await link.knock(KNOCK_SECS):
            return True
        witness = self._witness
        if witness is None or witness.record == batch.ids()[0]:
            return False
        seen = await link.send(window([witness.record], [witness.document], compress=self._config.compress), 1)
        return await seen == 1

    def _note_witness(self, batch: DeliveryBatch, acked: int) -> None:
        """Keep a record that was taken."""
        if acked and len(document := batch.documents()[acked - 1]) <= WITNESS_BYTES:
            self._witness = _Witness(batch.ids()[acked - 1], document)

    async def check(self) -> list[str]:
        """Which hosts cannot be connected to. More cannot be asked without sending an event."""
        return await unreachable(self._config, self._config.hosts)

    def rescue(self, record: str, document: bytes, reason: str, max_bytes: int | None = None) -> bytes | None:
        """None: there is no form that every input takes."""
        return None


def _trouble(lost: Lost, host: str, *, points_at_batch: bool) -> SendError:
    """What a lost link means for a batch of which nothing was acknowledged."""
    said = f"{host}: {lost.why}"
    if lost.is_wrong:
        return Paused(said)
    return CutOff(said) if lost.is_broken and points_at_batch else NoAnswer(said)
