"""A real Kafka as the other end of the wire, with a relay before it that loses answers and goes away."""

import uuid
from pathlib import Path
from typing import Any, Self

from agent.delivery.contract import Output
from agent.outputs.kafka.config import KafkaConfig
from agent.outputs.kafka.output import KafkaOutput
from tests.contract.destinations.destination import Destination
from tests.fakes.kafka_relay import KafkaRelay
from tests.servers import ServerUnavailable, unavailable
from tests.servers.kafka import make_topic, read_topic, shared_kafka


class KafkaDestination(Destination):
    """A topic of its own on the broker that all tests share."""

    # A repeat under the same sequence number is there once; one from another session is not known to be a repeat.
    recognises = False
    repeats_itself = True
    # Brokers do not look into records.
    rejects = False
    # Brokers slow a client down by answering late, never by refusing.
    throttles = False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        try:
            self.server = shared_kafka()
        except ServerUnavailable as error:
            unavailable(error)
        self.topic = f"records-{uuid.uuid4().hex}"
        self.relay = KafkaRelay(self.server.relay_port, self.server.behind_relay_port)

    async def __aenter__(self) -> Self:
        await make_topic(self.server.address, self.topic)
        await self.relay.listen()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.relay.go_away()

    def output(self, **settings: Any) -> Output:
        """Through the relay."""
        return KafkaOutput(self.config(**settings))

    def config(self, **settings: Any) -> KafkaConfig:
        """The settings of such an output."""
        address = f"127.0.0.1:{self.server.relay_port}"
        return KafkaConfig(**{"id": "it", "bootstrap": [address], "topic": self.topic, **settings})

    async def received(self) -> list[str]:
        """The header of every record."""
        return [dict(record.headers)["event.id"].decode() for record in await self.records()]

    async def documents(self) -> dict[str, bytes]:
        """Byte for byte."""
        return {dict(record.headers)["event.id"].decode(): record.value for record in await self.records()}

    async def records(self) -> list[Any]:
        """As aiokafka reads them, partition by partition."""
        return await read_topic(self.server.address, self.topic)

    async def go_away(self) -> None:
        """The relay refuses."""
        await self.relay.go_away()

    async def come_back(self) -> None:
        """The relay listens again."""
        await self.relay.listen()

    def lose_answer(self) -> None:
        """The connection breaks in place of the answer."""
        self.relay.lose_answers += 1
