"""The output: sends each batch to one of the hosts, in windows, and waits until they are acknowledged.

Lumberjack has no refusal. What an input cannot read (a number of more than a thousand digits, a nesting a thousand
deep) makes it hang up, as a stopping Logstash does too. So that such a record holds up nothing and no good one is given
up in its place, a batch under which connections break is sent in halves; and a single record is taken to be the reason
only when the other end shows that it is at work, right before it, on the connection that then breaks, and that ten
times: by answering a window without events, or by taking a record again that it has taken before.
"""

import math
from collections.abc import Iterator
from functools import partial
from types import TracebackType
from typing import Final, NamedTuple

from agent.delivery.contract import DeliveryBatch, Outcome
from agent.errors import CutOff, NoAnswer, Paused, SendError
from agent.form import Form
from agent.outputs.logstash.config import LogstashConfig
from agent.outputs.logstash.connect import unreachable
from agent.outputs.logstash.frames import LARGEST_WINDOW, WINDOW, window, window_of_frame
from agent.outputs.logstash.links import Links, Lost
from agent.outputs.logstash.windows import Patience, WindowLink
from agent.queue.frame import Frame

KNOCK_SECS: Final = 1.0
"""How long a window without events may take to be answered."""

WITNESS_BYTES: Final = 64 * 1024
"""A larger record is not kept as a witness."""

PATIENCE: Final = 10
"""So many times ``request_timeout`` a host may say that it is alive and acknowledge nothing, if there are others. The
only one is waited for without end: its pipeline is full, and what it holds it will pass on; a repeat only makes more of
it."""

STRIKES: Final = 8
"""So many connections must have broken under a single record, each right after the other end had shown that it is at
work, before the record is pointed at. The delivery loop asks for two more of them. A Logstash that restarts breaks one
or two."""


class _Window(NamedTuple):
    """``records`` are in it. ``last`` is a batch that ends with its last record."""

    frames: bytes
    records: int
    last: DeliveryBatch


class LumberjackOutput:
    """Sends to the input ``beats``, at least once. Links live between ``__aenter__`` and ``__aexit__``, one to a host,
    made when first needed."""

    ordered = False

    def __init__(self, config: LogstashConfig) -> None:
        self.id = config.id
        self._config = config
        timeout_secs = float(config.request_timeout)
        patience = Patience(PATIENCE * timeout_secs if len({*config.hosts}) > 1 else math.inf)
        self._links = Links(config, partial(WindowLink, timeout_secs, patience))
        self._witness: DeliveryBatch | None = None
        self._strikes: dict[str, int] = {}

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
            async with self._links.shared() as (host, link):
                return await self._send(batch, host, link)
        async with self._links.alone() as (host, link):
            return await self._send(batch, host, link, is_repeat=True)

    async def _send(self, batch: DeliveryBatch, host: str, link: WindowLink, is_repeat: bool = False) -> Outcome:
        vouched = await self._vouch(batch, link) if is_repeat and batch.count == 1 else False
        acked = await self._write(link, batch)
        if acked == batch.count:
            self._links.answered(host)
            if is_repeat and batch.count == 1:
                self._strikes.pop(batch.ids()[0], None)
            return Outcome()
        assert link.lost is not None  # or it would still be waited for
        self._links.drop(host, link)
        if acked:
            return Outcome(retry=list(range(acked, batch.count)), in_doubt=True)
        is_suspect = is_repeat and (batch.count > 1 or (vouched and self._strike(batch.ids()[0])))
        raise _trouble(link.lost, host, points_at_batch=is_suspect)

    def _strike(self, record: str) -> bool:
        """Whether enough connections broke under this record, now that another one did."""
        strikes = self._strikes.pop(record, 0) + 1
        if strikes < STRIKES + 2:  # else it is pointed at for the third time, and given up
            self._strikes[record] = strikes
        return strikes >= STRIKES

    async def _write(self, link: WindowLink, batch: DeliveryBatch) -> int:
        """Write the batch, window by window; how many of its records were acknowledged."""
        waiting = []
        for frames, count, last in _windows(batch, compress=self._config.compress):
            waiting.append((await link.send(frames, count), count, last))
        acked = 0
        for done, count, last in waiting:
            acked += await done
            if done.result() == count and (last.frames or last.raw_bytes <= WITNESS_BYTES):
                self._witness = last
        return acked

    async def _vouch(self, batch: DeliveryBatch, link: WindowLink) -> bool:
        """Whether the other end shows that it is at work: then what breaks the connection next is to blame."""
        if await link.knock(KNOCK_SECS):
            return True
        if self._witness is None or self._witness.ids()[-1] == batch.ids()[0]:
            return False
        witness = self._witness.subset([self._witness.count - 1])
        if witness.raw_bytes > WITNESS_BYTES:
            return False
        (shown,) = _windows(witness, compress=self._config.compress)
        return await (await link.send(shown.frames, 1)) == 1

    async def check(self) -> list[str]:
        """Which hosts cannot be connected to. More cannot be asked without sending an event."""
        return await unreachable(self._config, self._config.hosts)

    def rescue(self, record: str, document: bytes, reason: str, max_bytes: int | None = None) -> bytes | None:
        """None: there is no form that every input takes."""
        return None


def _windows(batch: DeliveryBatch, *, compress: bool) -> Iterator[_Window]:
    """A batch, window by window. A frame that lies in the queue as it is sent is one; of others, so many records as go
    into a window. They are inflated for one window after the other: while their documents are near the processor, and
    so that nothing inflated waits for acknowledgements."""
    if not batch.frames:
        for first in range(0, batch.count, WINDOW):
            part = slice(first, first + WINDOW)
            yield _made(batch.stream, batch.ids()[part], batch.documents()[part], compress=compress)
        return
    ids: list[str] = []
    documents: list[bytes] = []
    for frame, body in zip(batch.frames, batch.bodies, strict=True):
        alone = DeliveryBatch(batch.stream, [frame], [body])
        as_it_lies = compress and _is_window(frame)
        if ids and (as_it_lies or len(ids) + frame.count > WINDOW):
            yield _made(batch.stream, ids, documents, compress=compress)
            ids, documents = [], []
        if as_it_lies:
            yield _Window(window_of_frame(frame.count, body, frame.raw_check), frame.count, alone)
        else:
            ids += alone.ids()
            documents += alone.documents()
            while len(ids) > WINDOW:
                yield _made(batch.stream, ids[:WINDOW], documents[:WINDOW], compress=compress)
                del ids[:WINDOW], documents[:WINDOW]
    if ids:
        yield _made(batch.stream, ids, documents, compress=compress)


def _is_window(frame: Frame) -> bool:
    return frame.form is Form.LUMBERJACK and not frame.is_small and frame.count <= LARGEST_WINDOW


def _made(stream: str, ids: list[str], documents: list[bytes], *, compress: bool) -> _Window:
    frames = window(documents, compress=compress)
    return _Window(frames, len(documents), DeliveryBatch.of_documents(stream, ids[-1:], documents[-1:]))


def _trouble(lost: Lost, host: str, *, points_at_batch: bool) -> SendError:
    """What a lost link means for a batch of which nothing was acknowledged."""
    said = f"{host}: {lost.why}"
    if lost.is_wrong:
        return Paused(said)
    return CutOff(said) if lost.is_broken and points_at_batch else NoAnswer(said)
