"""An event source mapping on loopback: what stands between a Kinesis stream and a function in AWS.

Each shard is read in order, a batch at a time, and one invocation of a shard follows the other:

* The lowest sequence number among ``batchItemFailures`` is where the shard is read again, with the records of the batch
  that follow it; a number that is not in the batch fails the batch.
* An error or the time limit fails the batch. With ``bisect`` a failed batch is tried again in halves; that does not
  count as an attempt of its own.
* After ``attempts`` failures what is left of a batch goes to ``on_failure``, and the shard is read on.

Batches can be cut at random (``cut``), as the real mapping's are by time and size.
"""

import base64
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tests.servers.lambda_runtime import FunctionFailed, FunctionTimedOut

Invoke = Callable[[Mapping[str, Any]], Any]
Record = Mapping[str, Any]
"""As ``GetRecords`` gives it."""


class Given(NamedTuple):
    """What was given up: the shard, and the sequence numbers."""

    shard: str
    sequences: list[str]


class EventSource:
    """Feeds a function from the shards of a stream. ``client`` is boto3's for Kinesis."""

    def __init__(
        self,
        client: Any,
        stream: str,
        invoke: Invoke,
        *,
        batch_size: int = 100,
        attempts: int = 10_000,
        bisect: bool = True,
        cut: Callable[[int], int] = lambda size: size,
    ) -> None:
        self.on_failure: list[Given] = []
        self.invocations = 0
        self._client = client
        self._stream = stream
        self._invoke = invoke
        self._batch_size = batch_size
        self._attempts = attempts
        self._bisect = bisect
        self._cut = cut
        self._iterators: dict[str, str] = {}

    def run(self, stop: threading.Event, pause_secs: float = 0.05) -> None:
        """Feed until told to stop; what has been read is brought to its end first."""
        while not stop.is_set():
            if not self.feed(stop):
                stop.wait(pause_secs)

    def feed(self, stop: threading.Event | None = None) -> int:
        """Bring the function everything that is in the stream now, and wait until it is done with it. How many records
        that was."""
        fed = 0
        for shard in self._shards():
            while (stop is None or not stop.is_set()) and (records := self._read(shard)):
                fed += len(records)
                for batch in self._batches(records):
                    self.deliver(shard, batch)
        return fed

    def deliver(self, shard: str, batch: Sequence[Record]) -> None:
        """Invoke the function with a batch until it is done or given up."""
        waiting = [list(batch)]
        failures = 0
        while waiting:
            records = waiting.pop(0)
            rest = self._undone(shard, records)
            if len(rest) < len(records):
                failures = 0
            if not rest:
                continue
            if self._bisect and len(rest) == len(records) > 1:
                middle = len(rest) // 2
                waiting[:0] = [rest[:middle], rest[middle:]]
                continue
            failures += 1
            if failures < self._attempts:
                waiting.insert(0, rest)
                continue
            self.on_failure.append(Given(shard, [record["SequenceNumber"] for record in rest]))
            failures = 0

    def _undone(self, shard: str, records: list[Record]) -> list[Record]:
        """What of a batch is not done after one invocation."""
        self.invocations += 1
        try:
            answer = self._invoke(event_of(self._stream, shard, records))
        except (FunctionFailed, FunctionTimedOut):
            return records
        failed = {each["itemIdentifier"] for each in (answer or {}).get("batchItemFailures") or ()}
        if not failed:
            return []
        positions = {record["SequenceNumber"]: i for i, record in enumerate(records)}
        if not failed <= positions.keys():
            return records
        return records[min(positions[sequence] for sequence in failed) :]

    def _shards(self) -> list[str]:
        answer = self._client.list_shards(StreamName=self._stream)
        return [shard["ShardId"] for shard in answer["Shards"]]

    def _read(self, shard: str) -> list[Record]:
        if shard not in self._iterators:
            answer = self._client.get_shard_iterator(
                StreamName=self._stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
            )
            self._iterators[shard] = answer["ShardIterator"]
        answer = self._client.get_records(ShardIterator=self._iterators[shard], Limit=10 * self._batch_size)
        self._iterators[shard] = answer["NextShardIterator"]
        records: list[Record] = answer["Records"]
        return records

    def _batches(self, records: list[Record]) -> Iterator[list[Record]]:
        start = 0
        while start < len(records):
            size = max(1, min(self._batch_size, self._cut(len(records) - start)))
            yield records[start : start + size]
            start += size


def event_of(stream: str, shard: str, records: Sequence[Record]) -> dict[str, Any]:
    """The event of an invocation with these records, as AWS makes it."""
    arn = f"arn:aws:kinesis:eu-central-1:123456789012:stream/{stream}"
    return {
        "Records": [
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": record["PartitionKey"],
                    "sequenceNumber": record["SequenceNumber"],
                    "data": base64.b64encode(record["Data"]).decode(),
                    "approximateArrivalTimestamp": 1_795_000_000.0,
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": f"{shard}:{record['SequenceNumber']}",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": "arn:aws:iam::123456789012:role/modeltail",
                "awsRegion": "eu-central-1",
                "eventSourceARN": arn,
            }
            for record in records
        ]
    }
