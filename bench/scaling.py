"""Many sidecars, one topic, many consumers: what each hop takes. ``python -m bench.scaling``

Each hop runs alone, one process of it, with a real Kafka between them:

* ``sidecar to Kafka``: the agent tails the benchmark's file into a topic;
* ``Kafka to nothing``: a consumer reads the topic and counts: what there is to win by a faster consumer;
* ``Kafka to Elasticsearch``: a consumer that posts what it reads as bulks, `event.id` as `_id`, to the counting sink.

The broker's CPU time is told beside the hop's own: it is somebody's machine too. Where the topic is replicated, each
further copy costs about what the first does.
"""

import asyncio
import json
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from bench import records
from bench.contenders import runtime
from bench.processes import cpu, interrupt_on_sigterm, running
from bench.steer import sink
from bench.workspace import free_port, workspace

TOPIC = "records"
PARTITIONS = 4
MAX_SECS = 600.0
_POLL_SECS = 0.2
"""Each look at its ledger costs the agent a millisecond or so."""
_DATA_STREAM = "logs-modeltail.inference-default"

HEADING = f"{'hop':<26}{'records':>10}{'records/s':>12}{'CPU s/M':>10}{'broker CPU s/M':>17}"


@dataclass(frozen=True, slots=True)
class Hop:
    """One hop measured. ``secs`` run from the start of the work to the last record's end."""

    name: str
    records: int
    secs: float
    cpu_secs: float
    broker_secs: float

    def row(self) -> str:
        """As a row of the table."""
        millions = self.records / 1e6
        return (
            f"{self.name:<26}{self.records:>10}{self.records / self.secs:>12.0f}{self.cpu_secs / millions:>10.2f}"
            f"{self.broker_secs / millions:>17.2f}"
        )


def fill(name: str, count: int, output: Mapping[str, object], broker: int, within: Path) -> Hop:
    """Have the agent send the benchmark's file to an output, whose other end is the process ``broker``."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="sidecar-", dir=within) as folder:
        work = Path(folder)
        config = {
            "model": {"name": "fraud-scorer", "version": "3.2.0"},
            "inputs": [{"type": "file", "paths": [str(records.cached_file(count))]}],
            "outputs": [{"id": "log", **output}],
            "queue": {"path": str(work / "queue"), "min_free": 0},
            "status": {"port": port},
        }
        (work / "agent.json").write_text(json.dumps(config))
        before = cpu(broker).total
        begun = time.monotonic()
        with running([runtime(), "-m", "agent", "run", "-c", str(work / "agent.json")], work / "log") as agent:
            while _delivered(port) < count:
                if agent.poll() is not None or time.monotonic() > begun + MAX_SECS:
                    raise SystemExit(f"the agent did not deliver:\n{(work / 'log').read_text()[-2000:]}")
                time.sleep(_POLL_SECS)
            secs = time.monotonic() - begun
            used = cpu(agent.pid).total
        return Hop(name, count, secs, used, cpu(broker).total - before)


def _delivered(port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ledger", timeout=10) as answer:
            ledger = json.load(answer)
    except OSError:  # it does not listen yet
        return 0
    delivered: int = ledger["outputs"]["log"]["fates"].get("delivered", 0)
    return delivered


def drain(name: str, count: int, address: str, broker: int, within: Path, sink_port: int | None) -> Hop:
    """Have a consumer, in a process of its own, read the topic to its end."""
    command = [sys.executable, "-m", "bench.scaling", "--consume", address, "--records", str(count)]
    if sink_port is not None:
        command += ["--sink", str(sink_port)]
    log = within / f"consumer-{sink_port}.log"
    before = cpu(broker).total
    with running(command, log) as consumer:
        if consumer.wait(MAX_SECS) != 0:
            raise SystemExit(f"the consumer failed:\n{log.read_text()[-2000:]}")
    secs, used = json.loads(log.read_text().splitlines()[-1])
    return Hop(name, count, secs, used, cpu(broker).total - before)


async def consume(address: str, count: int, sink_port: int | None) -> tuple[float, float]:
    """Read so many records, and post them if there is a sink; seconds and CPU-seconds of that."""
    import aiohttp
    from aiokafka import AIOKafkaConsumer

    consumer: Any = AIOKafkaConsumer(
        TOPIC, bootstrap_servers=address, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    read = 0
    begun, used = time.monotonic(), time.process_time()
    try:
        async with aiohttp.ClientSession() as session:
            while read < count:
                for found in (await consumer.getmany(timeout_ms=1000, max_records=10_000)).values():
                    if sink_port is not None:
                        await _post(session, sink_port, found)
                    read += len(found)
    finally:
        await consumer.stop()
    return time.monotonic() - begun, time.process_time() - used


async def _post(session: Any, port: int, found: Sequence[Any]) -> None:
    from agent.outputs.gzip import gzipped

    lines = b"".join(
        b'{"create":{"_id":"%b"}}\n%b\n' % (dict(record.headers)["event.id"], record.value) for record in found
    )
    url = f"http://127.0.0.1:{port}/{_DATA_STREAM}/_bulk"
    headers = {"content-type": "application/x-ndjson", "content-encoding": "gzip"}
    async with session.post(url, data=gzipped(lines), headers=headers) as answer:
        await answer.read()
        if answer.status != 200:
            raise SystemExit(f"the sink answered {answer.status}")


def measure(count: int) -> list[Hop]:
    """All hops, one after the other, on one broker."""
    from tests.servers.kafka import kafka_server

    hops = []
    with workspace() as folder, kafka_server() as kafka, sink(folder / "sink.log") as control:
        kafka.make_topic(TOPIC, PARTITIONS)
        broker = kafka.process.pid
        # Without keys, as the file is one source, and would all be in one partition.
        output = {"type": "kafka", "bootstrap": [kafka.address], "topic": TOPIC, "key": "none"}
        hops.append(fill("sidecar to Kafka", count, output, broker, folder))
        hops.append(drain("Kafka to nothing", count, kafka.address, broker, folder, None))
        hops.append(drain("Kafka to Elasticsearch", count, kafka.address, broker, folder, control.port))
        missing, extra = records.missing_and_extra(count, control.ids())
        if missing or extra:
            raise SystemExit(f"{missing} records are missing, {extra} came twice")
    return hops


@click.command()
@click.option("--records", "count", type=click.IntRange(1, 50_000_000), default=1_000_000, show_default=True)
@click.option("--consume", "address", hidden=True)
@click.option("--sink", "sink_port", type=int, hidden=True)
def main(count: int, address: str | None, sink_port: int | None) -> None:
    """Measure each hop from sidecars through Kafka to Elasticsearch."""
    if address is not None:
        click.echo(json.dumps(asyncio.run(consume(address, count, sink_port))))
        return
    interrupt_on_sigterm()
    click.echo(HEADING)
    for hop in measure(count):
        click.echo(hop.row())


if __name__ == "__main__":
    main()
