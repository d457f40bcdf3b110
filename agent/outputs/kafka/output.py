"""The output ``kafka``: each batch as record batches of an idempotent producer, and what became of every record."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from agent.delivery.contract import DeliveryBatch, Outcome
from agent.errors import NoAnswer, Paused, Retryable, SendError, TooLarge
from agent.log import Log
from agent.outputs.kafka.config import KafkaConfig, topic_name
from agent.outputs.kafka.keys import key_of
from agent.outputs.kafka.record_batch import Keyed, RecordBatch, compressor, record_batch

if TYPE_CHECKING:
    from agent.outputs.kafka.plan import Part
    from agent.outputs.kafka.session import Session

T = TypeVar("T")

_PROBE_STREAM: Final = "modeltail.inference-default"

_log = Log("outputs.kafka")


class _Load(msgspec.Struct):
    """A batch made ready: its records, what each has beside it, and in which parts they go."""

    ids: Sequence[str]
    documents: Sequence[bytes]
    keyed: Sequence[Keyed]
    parts: "list[tuple[Part, RecordBatch]]"


class KafkaOutput:
    """Appends to a topic. Exactly once as long as a lost answer is followed by another within ``delivery_timeout``;
    what was in flight when it was not, or when the agent died, may be there twice, with the same header ``event.id``.

    What it holds lives between ``__aenter__`` and ``__aexit__``: the session with the brokers, opened when first
    needed, and opened anew when nobody knows any more what the last one has sent.
    """

    ordered = False
    """A partition has its records in queue order unless some are sent again; with ``max_concurrency: 1`` always."""

    def __init__(self, config: KafkaConfig) -> None:
        self.id = config.id or "kafka"
        self._config = config
        self._key_of = key_of(config.key)
        self._session: Session | None = None
        self._connecting = asyncio.Lock()
        self._thread: ThreadPoolExecutor
        self._turn = 0
        self._largest_bytes: int | None = None

    async def __aenter__(self) -> "KafkaOutput":
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"kafka-{self.id}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=False)
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def send(self, batch: DeliveryBatch) -> Outcome:
        """Append every record, and wait until all replicas have it. A ``SendError`` when none was taken."""
        if batch.count == 0:
            return Outcome()
        topic = topic_name(self._config.topic, batch.stream)
        async with self._connected() as session:
            every, led = await self._in_time(session.partitions(topic))
            self._turn += 1
            load = await self._aside(partial(self._load, batch, every, led[self._turn % len(led)]))
            by_partition: dict[int, deque[tuple[Part, RecordBatch]]] = {}
            for part, encoded in load.parts:
                by_partition.setdefault(part.partition, deque()).append((part, encoded))
            outcome = Outcome()
            failures = await asyncio.gather(
                *(self._append(session, topic, load, parts, outcome) for parts in by_partition.values())
            )
        return _judged(outcome, [failure for failure in failures if failure is not None], batch.count)

    async def _append(
        self,
        session: "Session",
        topic: str,
        load: _Load,
        parts: "deque[tuple[Part, RecordBatch]]",
        outcome: Outcome,
    ) -> SendError | None:
        """Append the parts for one partition, one after the other; what stopped that, if anything did. Parts that are
        too large are halved."""
        while parts:
            part, encoded = parts.popleft()
            indexes = part.indexes
            try:
                await session.append(topic, part.partition, encoded)
            except TooLarge as refusal:
                if len(indexes) == 1:
                    outcome.too_large[indexes[0]] = str(refusal)
                    continue
                self._largest_bytes = sum(len(load.documents[i]) for i in indexes) // 2
                middle = len(indexes) // 2
                for half in (indexes[middle:], indexes[:middle]):
                    smaller = msgspec.structs.replace(part, indexes=half)
                    parts.appendleft((smaller, await self._aside(partial(self._encoded, load, half))))
            except SendError as failure:
                outcome.retry += [*indexes, *(i for later, _ in parts for i in later.indexes)]
                return failure
        return None

    async def _aside(self, work: Callable[[], T]) -> T:
        """Off the event loop: inflating, encoding and compressing megabytes takes tens of milliseconds."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _load(self, batch: DeliveryBatch, every: Sequence[int], free: int) -> _Load:
        from agent.outputs.kafka.plan import LARGEST_BATCH_BYTES, plan

        documents = batch.documents()
        load = _Load(batch.ids(), documents, list(map(self._key_of, documents)), [])
        parts = plan(documents, load.keyed, every, free, self._largest_bytes or LARGEST_BATCH_BYTES)
        load.parts = [(part, self._encoded(load, part.indexes)) for part in parts]
        return load

    def _encoded(self, load: _Load, indexes: Sequence[int]) -> RecordBatch:
        return record_batch(
            [load.ids[i] for i in indexes],
            [load.documents[i] for i in indexes],
            [load.keyed[i] for i in indexes],
            time.time_ns() // 1_000_000,
            self._config.compression,
            compressor(self._config.compression),
        )

    def rescue(self, record: str, document: bytes, reason: str, max_bytes: int | None = None) -> bytes | None:
        """None: brokers do not look into a record."""
        return None

    async def check(self) -> list[str]:
        """Can brokers be reached, are we let in, may we write somewhere, is the topic there? Makes no topic."""
        topic = topic_name(self._config.topic, _PROBE_STREAM)
        try:
            compressor(self._config.compression)
            async with self._connected() as session:
                problem = await self._in_time(session.topic_problem(topic))
        except SendError as error:
            return [str(error)]
        return [] if problem is None else [problem]

    @contextlib.asynccontextmanager
    async def _connected(self) -> "AsyncIterator[Session]":
        """The session in force. A spent one is closed when its last user leaves it."""
        async with self._connecting:
            if self._session is None or self._session.spent:
                self._session = None
                self._session = await self._in_time(self._open())
            session = self._session
            session.users += 1
        try:
            yield session
        finally:
            session.users -= 1
            if session.spent and not session.users:
                if self._session is session:
                    self._session = None
                await session.close()

    async def _open(self) -> "Session":
        try:
            from agent.outputs.kafka.session import connected
        except ImportError as error:
            raise Paused("the output `kafka` needs the extra `kafka`: pip install 'modeltail[kafka]'") from error
        return await connected(self._config)

    async def _in_time(self, asking: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._config.delivery_timeout):
                return await asking
        except TimeoutError as error:
            raise Retryable("the brokers do not answer") from error


def _judged(outcome: Outcome, failures: Sequence[SendError], count: int) -> Outcome:
    """What the delivery loop is told. Trouble is one with the whole batch if nothing of it was taken."""
    if not failures:
        return outcome
    in_doubt = [failure for failure in failures if isinstance(failure, NoAnswer)]
    if len(outcome.retry) == count:
        raise (in_doubt or failures)[0]
    outcome.in_doubt = bool(in_doubt)
    _log.warning("Some partitions did not take their records; they are sent again", said=str(failures[0]))
    return outcome
