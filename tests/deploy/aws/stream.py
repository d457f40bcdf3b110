"""Documents as the agent writes them, and Kinesis records of them in each form."""

import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any

import aws_kinesis_agg.aggregator
from modeltail_lambda.arrivals import Arrival

RUN = "01a208f898aece4282e3b1441704"
OTHER_RUN = "01a208f898aeffffffffffffffff"
SHARD = "shardId-000000000000"
DATASET = "modeltail.inference"
FIRST_SEQUENCE = 49_590_338_271_490_256_608_559_692_538_361_571_095_921_575_989_136_588_898


def document(number: int, *, run: str = RUN, time: str = "2026-11-22T10:00:00.1Z", **fields: object) -> bytes:
    """A document; its number is in its id, ten to a batch of the agent, and in ``fields.n``."""
    content = {
        "@timestamp": time,
        "message": f"record {number}",
        "event": {"created": "2026-11-22T10:00:00.500Z", "id": record_id(number, run)},
        "data_stream": {"dataset": DATASET, "namespace": "default", "type": "logs"},
        "fields": {"n": number},
        **fields,
    }
    return json.dumps(content, separators=(",", ":")).encode()


def record_id(number: int, run: str = RUN) -> str:
    """The id of a document of this number."""
    return f"{run}-{number // 10:x}-{number % 10:x}"


def gzipped(documents: Sequence[bytes]) -> bytes:
    """The data of a Kinesis record with ``aggregation: gzip``."""
    return gzip.compress(b"".join(text + b"\n" for text in documents))


def joined(documents: Sequence[bytes]) -> bytes:
    """The same with ``aggregation: kpl``, by AWS's own aggregator."""
    aggregator = aws_kinesis_agg.aggregator.RecordAggregator()
    for text in documents:
        aggregator.add_user_record("key", text)
    data: bytes = aggregator.clear_and_get().get_contents()[2]
    return data


def arrival(data: bytes, number: int = 0) -> Arrival:
    """A Kinesis record that came, the so manieth of its shard."""
    return Arrival(SHARD, str(FIRST_SEQUENCE + number), data)


def record(data: bytes, number: int = 0, key: str = "key") -> Mapping[str, Any]:
    """The same as ``GetRecords`` gives it."""
    return {"SequenceNumber": str(FIRST_SEQUENCE + number), "PartitionKey": key, "Data": data}
