"""A plain consumer of the topic, as somebody's own program would be: it counts what it reads, or posts it as bulks with
``event.id`` as ``_id``.

``python -m bench.scaling.consumer ADDRESS TOPIC`` reads so many records, prints its seconds and CPU-seconds, and ends.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

import aiohttp
import click
from aiokafka import AIOKafkaConsumer

from agent.outputs.gzip import gzipped

_DATA_STREAM = "logs-modeltail.inference-default"


async def consume(address: str, topic: str, count: int, sink_port: int | None) -> tuple[float, float]:
    """Read so many records, and post them if there is a sink; seconds and CPU-seconds of that."""
    consumer: Any = AIOKafkaConsumer(
        topic, bootstrap_servers=address, auto_offset_reset="earliest", enable_auto_commit=False
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


async def _post(session: aiohttp.ClientSession, port: int, found: Sequence[Any]) -> None:
    lines = b"".join(
        b'{"create":{"_id":"%b"}}\n%b\n' % (dict(record.headers)["event.id"], record.value) for record in found
    )
    url = f"http://127.0.0.1:{port}/{_DATA_STREAM}/_bulk"
    headers = {"content-type": "application/x-ndjson", "content-encoding": "gzip"}
    async with session.post(url, data=gzipped(lines), headers=headers) as answer:
        await answer.read()
        if answer.status != 200:
            raise SystemExit(f"the sink answered {answer.status}")


@click.command()
@click.argument("address")
@click.argument("topic")
@click.option("--records", type=click.IntRange(1), required=True)
@click.option("--sink", type=int, help="Port of the sink; without it they are only counted.")
def main(address: str, topic: str, records: int, sink: int | None) -> None:
    """Read so many records of a topic from its beginning."""
    click.echo(json.dumps(asyncio.run(consume(address, topic, records, sink))))


if __name__ == "__main__":
    main()
