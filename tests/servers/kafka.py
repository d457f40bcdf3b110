"""The real Kafka: one node that is broker and controller (KRaft), on loopback, from the jars on Maven Central.

    with kafka_server() as kafka:
        clients to kafka.address, or with a password to kafka.sasl_address
        kafka.process.kill(); kafka.process.start()      # an outage: same data, same ports

Topics are made by clients (``make_topic``); the broker makes none by itself unless told to by its settings.
"""

import asyncio
import atexit
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from tests.servers.java import find_java
from tests.servers.libraries import libraries
from tests.servers.process import ServerProcess, free_port, listens

VERSION = "4.4.0"
USER, PASSWORD = "sidecar", "sidecar-password"
_FORMAT_SECS = 60
_CLUSTER = "AAAAAAAAAAAAAAAAAAAAAQ"
_QUICK_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
_JAAS = (
    "org.apache.kafka.common.security.plain.PlainLoginModule required "
    f'user_{USER}="{PASSWORD}" username="{USER}" password="{PASSWORD}";'
)

_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
_SCRAM_USER = f"SCRAM-SHA-256=[name={USER},password={PASSWORD}]"


class KafkaServer:
    """One broker. ``address`` takes anybody, ``sasl_address`` who has a password. Who comes in by
    ``behind_relay_port`` is told that the broker is at ``relay_port``, where a relay may listen."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        jars = libraries("kafka", f"org.apache.kafka:kafka_2.13:{VERSION}", "org.slf4j:slf4j-simple:1.7.36")
        java = [str(find_java(17, 25) / "bin" / "java"), *_QUICK_JVM, "-cp", f"{jars}/*"]
        plain, sasl, relayed, behind, controller = (free_port() for _ in range(5))
        self.address = f"127.0.0.1:{plain}"
        self.sasl_address = f"127.0.0.1:{sasl}"
        self.relay_port, self.behind_relay_port = relayed, behind
        config = folder / "server.properties"
        all_settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://{self.address},SASL_PLAINTEXT://{self.sasl_address},"
            f"RELAYED://127.0.0.1:{behind},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.address},SASL_PLAINTEXT://{self.sasl_address},"
            f"RELAYED://127.0.0.1:{relayed}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,"
            "RELAYED:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256",
            "listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config": _SCRAM,
            "listener.name.sasl_plaintext.plain.sasl.jaas.config": _JAAS,
            "log.dirs": str(folder / "data"),
            "num.partitions": "3",
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            # Without these two a broker that was killed waits ten seconds for its own earlier life.
            "broker.session.timeout.ms": "1000",
            "broker.heartbeat.interval.ms": "200",
            **settings,
        }
        config.write_text("".join(f"{name}={value}\n" for name, value in all_settings.items()))
        log = folder / "console.log"
        formatting = [
            *java,
            "kafka.tools.StorageTool",
            "format",
            "-t",
            _CLUSTER,
            "-c",
            str(config),
            "--add-scram",
            _SCRAM_USER,
        ]
        subprocess.run(formatting, check=True, capture_output=True, timeout=_FORMAT_SECS)
        self.process = ServerProcess([*java, "-Xmx256m", "kafka.Kafka", str(config)], lambda: listens(plain), log)

    def make_topic(self, name: str, partitions: int = 3, **settings: str) -> None:
        """Make a topic; an underscore in a setting's name stands for a dot."""
        asyncio.run(make_topic(self.address, name, partitions, **settings))


async def make_topic(address: str, name: str, partitions: int = 3, **settings: str) -> None:
    """The same within an event loop. Returns when every partition takes records."""
    from aiokafka import AIOKafkaConsumer, TopicPartition
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    admin: Any = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        configs = {setting.replace("_", "."): value for setting, value in settings.items()}
        await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=configs)])
    finally:
        await admin.close()
    consumer: Any = AIOKafkaConsumer(bootstrap_servers=address)
    await consumer.start()
    try:
        await consumer.end_offsets([TopicPartition(name, n) for n in range(partitions)])  # asks again until it leads
    finally:
        await consumer.stop()


async def read_topic(address: str, name: str) -> list[Any]:
    """All records of a topic, as aiokafka's ``ConsumerRecord``, partition by partition."""
    from aiokafka import AIOKafkaConsumer, TopicPartition

    consumer: Any = AIOKafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    try:
        await consumer._client.add_topic(name)
        partitions = [TopicPartition(name, n) for n in sorted(consumer.partitions_for_topic(name) or ())]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        records: list[Any] = []
        while any([await consumer.position(p) < ends[p] for p in partitions]):
            for found in (await consumer.getmany(timeout_ms=1000)).values():
                records += found
        return sorted(records, key=lambda record: (record.partition, record.offset))
    finally:
        await consumer.stop()


async def _until_it_gives_ids(address: str) -> None:
    from aiokafka import AIOKafkaProducer

    producer: Any = AIOKafkaProducer(bootstrap_servers=address, enable_idempotence=True)
    await producer.start()
    await producer.stop()


@cache
def shared_kafka() -> KafkaServer:
    """One broker for all who use topics of their own; ended with Python. Raises as ``kafka_server``."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(kafka_server())


@contextmanager
def kafka_server(**settings: str) -> Iterator[KafkaServer]:
    """A running broker that is ended, with its data, when the block is left. ``settings`` are further ones of its own;
    an underscore in a name stands for a dot. Raises ``ServerUnavailable`` where Maven or Java is missing."""
    with tempfile.TemporaryDirectory(prefix="modeltail-kafka-", ignore_cleanup_errors=True) as temporary:
        server = KafkaServer(Path(temporary), {name.replace("_", "."): value for name, value in settings.items()})
        try:
            server.process.start()
            # In a thread, as a test may start the broker from within its event loop.
            with ThreadPoolExecutor(1) as thread:
                thread.submit(lambda: asyncio.run(_until_it_gives_ids(server.address))).result()
            yield server
        finally:
            server.process.kill()
