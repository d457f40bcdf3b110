"""One idempotent producer: connections to the brokers, a producer id, and a sequence number per partition.

Of aiokafka this uses the client (connections, TLS, SASL, who leads what) and the messages, not its producer. That one
repeats every failure for ever, cannot be stopped before it has sent all it holds, and counts a batch that was refused
as sent, so that the partition refuses all that follows.

What is repeated here is only what must be, for the brokers to tell that it is the same: a request whose answer was
lost, byte for byte and under its own sequence number, until an answer comes or ``delivery_timeout`` is over. Nothing
else of that partition is sent meanwhile. A clear "no" goes to the delivery loop at once: its numbers are used again by
what is sent next. After a request that was given up nobody knows which number the partition expects: the session is
*spent*, takes nothing more and is closed, and what still lies in our buffers is thrown away.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final

from aiokafka.client import AIOKafkaClient
from aiokafka.conn import create_conn
from aiokafka.errors import IncompatibleBrokerVersion, NodeNotReadyError
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

from agent.errors import NoAnswer, Paused, Retryable, SendError
from agent.log import Log
from agent.outputs.kafka import trouble
from agent.outputs.kafka.config import KafkaConfig
from agent.outputs.kafka.record_batch import SEQUENCES, RecordBatch
from agent.outputs.tls import client_context

REPEAT_SECS: Final = 0.1
NEW_TOPIC_SECS: Final = 2.0
"""How long brokers that make topics by themselves may take to."""
METADATA_SECS: Final = 5.0
REASON_SECS: Final = 5.0
"""How long each host may take when it is asked once more why there is no connection."""
_ALL_REPLICAS: Final = -1
_LONGEST_MILLIS: Final = 2**31 - 1

# The client's own trouble. Under uvloop a closed transport raises RuntimeError; a connection that two requests give up
# at once is a KeyError of the client's, and an answer that makes no sense an AssertionError or ValueError.
_LOST: Final = (RuntimeError, KeyError, OSError, AssertionError, ValueError)

_log = Log("outputs.kafka")


class _HeardFrom(logging.Handler):
    """The client's own log, in ours: in an outage it would write ten lines a second."""

    def emit(self, record: logging.LogRecord) -> None:
        _log.warning("The Kafka client has trouble", said=record.getMessage())


def _listen() -> None:
    logger = logging.getLogger("aiokafka")
    if logger.propagate:
        logger.propagate = False
        logger.setLevel(logging.WARNING)
        logger.addHandler(_HeardFrom())


class _Client(AIOKafkaClient):  # type: ignore[misc]  # aiokafka has no types
    """A connection that is given up does not send what lies in its buffers: it must not arrive later. The client would,
    and to close it would wait for that, for ever where nobody reads."""

    def _on_connection_closed(self, conn: Any, reason: Any) -> None:
        if conn._protocol._transport is not None:
            conn._protocol._transport.abort()
        super()._on_connection_closed(conn, reason)


class _Partition:
    """One at a time, with the sequence number of the next record."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.sequence = 0


class Session:
    """Made by ``connected``. ``spent`` says that nothing can be sent any more; ``users`` are those still waiting."""

    def __init__(self, client: Any, producer: int, epoch: int, config: KafkaConfig) -> None:
        self.spent = False
        self.users = 0
        self._client = client
        self._producer = producer
        self._epoch = epoch
        self._config = config
        self._partitions: dict[TopicPartition, _Partition] = {}

    async def partitions(self, topic: str) -> tuple[list[int], list[int]]:
        """All partitions of a topic, and those of them that have a leader. Brokers that make topics by themselves make
        it now. Raises ``Paused`` when there is none, or it is not for us."""
        cluster = self._client.cluster
        if not cluster.partitions_for_topic(topic):
            await self._learn(topic)
        every = sorted(cluster.partitions_for_topic(topic))
        return every, sorted(cluster.available_partitions_for_topic(topic)) or every

    async def _learn(self, topic: str) -> None:
        cluster = self._client.cluster
        self._client.add_topic(topic)
        end = asyncio.get_running_loop().time() + NEW_TOPIC_SECS
        while True:
            answered = await self._look_again()
            if cluster.partitions_for_topic(topic):
                return
            if topic in cluster.unauthorized_topics:
                raise Paused(f"the topic {topic} is not for the agent's user: it needs to describe it and write to it")
            if not answered:
                self.spent = True
                raise Retryable("no broker says who leads the topic")
            if asyncio.get_running_loop().time() > end:
                raise Paused(f"there is no topic {topic}, and the brokers do not make one by themselves")
            await asyncio.sleep(REPEAT_SECS)

    async def _look_again(self) -> bool:
        """Ask who leads what; whether anybody answered. The client asks in a task of its own, which an unforeseen error
        ends for good: then nobody would ever be told, and the session can only be used up."""
        try:
            async with asyncio.timeout(METADATA_SECS):
                return bool(await self._client.force_metadata_update())
        except TimeoutError:
            self.spent = True
            return False

    async def topic_problem(self, topic: str) -> str | None:
        """What is wrong with a topic, if anything. Makes none. Raises ``Retryable`` when no broker says."""
        node = self._client.get_random_node()
        try:
            answer = await self._client.send(node, MetadataRequest([topic], allow_auto_topic_creation=False))
        except _LOST as error:
            self.spent = True
            raise Retryable(f"no broker says whether there is a topic {topic}: {error}") from error
        for code, name, *_ in answer.topics:
            if name == topic and code == 3:
                return f"there is no topic {topic}; the brokers may make it when the first record comes"
            if name == topic and code:
                return str(trouble.refused(code, f"the topic {topic}"))
        return None

    async def append(self, topic: str, number: int, batch: RecordBatch) -> None:
        """Append to one partition, all or nothing. Raises ``NoAnswer`` when nobody knows, any other ``SendError`` when
        nothing was taken for certain."""
        place = TopicPartition(topic, number)
        partition = self._partitions.setdefault(place, _Partition())
        async with partition.lock:
            if self.spent:
                raise Retryable("an earlier request had no answer: a new producer is needed")
            data = batch.sent_by(self._producer, self._epoch, partition.sequence, calc_crc32c)
            await self._until_known(place, data)
            partition.sequence = (partition.sequence + batch.count) % SEQUENCES

    async def _until_known(self, place: TopicPartition, data: bytes) -> None:
        """Send until it is known what became of it, or for ``delivery_timeout``."""
        in_doubt, said = False, ""
        try:
            async with asyncio.timeout(self._config.delivery_timeout):
                while True:
                    # A stop in the middle of a request leaves the same doubt as a lost answer.
                    before, in_doubt = in_doubt, True
                    try:
                        code = await self._ask(place, data)
                    except SendError as error:
                        in_doubt, said = before, str(error)
                        if not in_doubt:
                            raise
                    except _LOST as error:
                        said = str(error) or type(error).__name__
                    else:
                        in_doubt = code in trouble.UNDECIDED or (before and code not in trouble.CERTAIN)
                        said = trouble.name_of(code)
                        if code in trouble.TAKEN:
                            return
                        if not in_doubt:
                            raise self._refused(code, place)
                        if code in trouble.SPENT:
                            break
                    await asyncio.sleep(REPEAT_SECS)
                    await self._look_again()
        except TimeoutError:
            pass
        finally:
            self.spent |= in_doubt
        raise NoAnswer(f"{_text(place)}: no answer that says what became of it; the last word was: {said}")

    async def _ask(self, place: TopicPartition, data: bytes) -> int:
        """Send once; the error code of the answer. Raises a ``SendError`` when nothing was sent."""
        leader = self._client.cluster.leader_for_partition(place)
        if leader is None or leader == -1:
            self._client.force_metadata_update()
            raise Retryable(f"{_text(place)} has no leader just now")
        partitions = [(place.partition, data)]
        request = ProduceRequest(None, _ALL_REPLICAS, _millis(self._config), [(place.topic, partitions)])
        try:
            response = await self._client.send(leader, request)
        except NodeNotReadyError:
            self.spent = True  # connecting anew says why
            broker = self._client.cluster.broker_metadata(leader)
            address = f"{broker.host}:{broker.port}" if broker else f"number {leader}"
            raise Retryable(f"{_text(place)}: the broker {address} cannot be reached") from None
        except IncompatibleBrokerVersion as error:
            raise Paused("the brokers are too old: idempotent producers need Kafka 2.1") from error
        (code,) = (code for _, answers in response.topics for _, code, *_ in answers)  # else a ValueError: see _LOST
        return int(code)

    def _refused(self, code: int, place: TopicPartition) -> SendError:
        if code in trouble.ELSEWHERE:
            self._client.force_metadata_update()
        self.spent |= code in trouble.SPENT
        return trouble.refused(code, _text(place))

    async def close(self) -> None:
        """Close the connections at once. What lies in our buffers is thrown away: it must not arrive later."""
        await _close(self._client)


async def connected(config: KafkaConfig) -> Session:
    """A new session. Raises a ``SendError`` that says what is in the way."""
    _listen()
    settings = _settings(config)
    client: Any = _Client(bootstrap_servers=config.bootstrap, **settings)
    try:
        try:
            await client.bootstrap()
        except _LOST:
            raise await _why_not(client.hosts, settings) from None
        request = InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=_LONGEST_MILLIS)
        try:
            answer = await client.send(client.get_random_node(), request)
        except _LOST as error:
            raise Retryable(f"no broker gives a producer id: {error}") from error
        if answer.error_code:
            raise trouble.refused(answer.error_code, "a producer id")
        return Session(client, answer.producer_id, answer.producer_epoch, config)
    except BaseException:
        await _close(client)
        raise


async def _why_not(hosts: Sequence[tuple[str, int, object]], settings: dict[str, Any]) -> SendError:
    """Why none of these can be connected to: what a person must act on first. The client itself only logs it."""
    worst: SendError = Retryable("no broker answers")
    for host, port, _ in hosts:
        try:
            async with asyncio.timeout(REASON_SECS):
                connection = await create_conn(host, port, **settings)
        except _LOST as error:
            worst = trouble.unreachable(f"{host}:{port}", error, settings["ssl_context"] is not None)
            if isinstance(worst, Paused):
                break
        else:
            await connection.close()
            worst = Retryable(f"{host}:{port} hangs up when it is asked; does its listener want `tls` or `sasl`?")
    return worst


async def _close(client: Any) -> None:
    # Closing the client would raise the error its own task ended with, if it did, and wait for ever for one that has
    # not heard that it is cancelled: an answer that comes in that moment drowns it in Python 3.11's ``wait_for``.
    asking, client._sync_task = client._sync_task, None
    while asking is not None and not asking.done():
        asking.cancel()
        await asyncio.wait([asking], timeout=REPEAT_SECS)
    if asking is not None and not asking.cancelled():
        _log.warning("The Kafka client has trouble", said=repr(asking.exception()))
    await client.close()


def _settings(config: KafkaConfig) -> dict[str, Any]:
    """What both a client and a single connection are told."""
    protocol = ("SASL_" if config.sasl else "") + ("SSL" if config.tls else "PLAINTEXT")
    return {
        "client_id": "modeltail",
        "request_timeout_ms": _millis(config),
        "security_protocol": protocol,
        "ssl_context": client_context(config) if config.tls else None,
        "sasl_mechanism": (config.sasl or "plain").upper(),
        "sasl_plain_username": config.username,
        "sasl_plain_password": config.password,
    }


def _millis(config: KafkaConfig) -> int:
    return max(1, min(int(config.request_timeout * 1000), _LONGEST_MILLIS))


def _text(place: TopicPartition) -> str:
    return f"{place.topic}, partition {place.partition}"
