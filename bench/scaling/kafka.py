"""The hops through a real Kafka, one broker of one node.

* ``sidecar to Kafka``: the agent tails the benchmark's file into a topic;
* ``Kafka to nothing``: a consumer reads the topic and counts: what there is to win by a faster consumer;
* ``Kafka to Elasticsearch``: a consumer that posts what it reads as bulks to the counting sink.

The broker's CPU time is told beside the hop's own: it is somebody's machine too. Where the topic is replicated, each
further copy costs about what the first does.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.processes import cpu, running
from bench.scaling.hop import Hop, check
from bench.scaling.sidecar import MAX_SECS, fill
from bench.steer import sink
from tests.servers.kafka import kafka_server

TOPIC = "records"
PARTITIONS = 4


def hops(count: int, folder: Path) -> Iterator[Hop]:
    """Measure one after the other. What does not get every record once ends all."""
    with kafka_server() as kafka, sink(folder / "sink.log") as control:
        kafka.make_topic(TOPIC, PARTITIONS)
        broker = kafka.process.pid
        # Without keys, as the file is one source, and would all be in one partition.
        output = {"type": "kafka", "bootstrap": [kafka.address], "topic": TOPIC, "key": "none"}
        before = cpu(broker).total
        secs, used = fill(count, output, folder)
        yield Hop("sidecar to Kafka", count, secs, used, cpu(broker).total - before)
        for name, port in (("Kafka to nothing", None), ("Kafka to Elasticsearch", control.port)):
            before = cpu(broker).total
            secs, used = _drain(count, kafka.address, port, folder)
            broker_secs = cpu(broker).total - before
            if port is not None:
                check(name, count, control.ids())
            yield Hop(name, count, secs, used, broker_secs)


def _drain(count: int, address: str, sink_port: int | None, folder: Path) -> tuple[float, float]:
    """Have a consumer, in a process of its own, read the topic to its end; seconds and CPU-seconds of that."""
    command = [sys.executable, "-m", "bench.scaling.consumer", address, TOPIC, "--records", str(count)]
    if sink_port is not None:
        command += ["--sink", str(sink_port)]
    log = folder / f"consumer-{sink_port}.log"
    with running(command, log) as consumer:
        if consumer.wait(MAX_SECS) != 0:
            raise SystemExit(f"the consumer failed:\n{log.read_text()[-2000:]}")
    secs, used = json.loads(log.read_text().splitlines()[-1])
    return secs, used
