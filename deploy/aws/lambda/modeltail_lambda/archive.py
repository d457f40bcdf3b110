"""Writes documents to S3, each into one object, however often it comes.

The invariant: **no document lies in two objects.** It holds because

1. an object's key is made of one Kinesis record alone, and it is put with ``If-None-Match: *``. A record that comes
   again, in whatever invocation, finds its key taken, even by a request of a function that was killed meanwhile;
2. before a part is written, the objects of its partition which may hold some of its documents are read, and what is in
   them is left out. So a document that the agent sent twice, in two Kinesis records, is written with the first;
3. records with one partition key reach this function one after the other (that is Lambda's promise for a shard, also
   over a resharding, and with a parallelization factor). So 2 looks when all earlier ones are done.

The third asks of the producer that an agent keeps to one partition key. With random keys the two copies of a document
may be looked at in the same moment by two invocations; then both may be written. S3 lists what has been written at once
(it is strongly consistent), so nothing else is needed.

What is left out of a later record because an earlier one of the same invocation has it, is safe too: if the earlier one
is not written, it comes again before anything behind it does.
"""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from .document import Document, NotADocument, read_document
from .objects import Part, Partition, may_hold, packed, parts
from .result import Taken
from .unit import Unit

WORKERS = 8
"""Objects written at the same time. A put takes tens of milliseconds, and a shard brings tens of records a second."""

_THERE = "PreconditionFailed"


class Archive:
    """The objects below a prefix of a bucket. ``client`` is boto3's for S3."""

    name = "s3"

    def __init__(self, client: Any, bucket: str, prefix: str, workers: int = WORKERS) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._workers = workers

    def take(self, units: Sequence[Unit], deadline: float) -> Taken:
        """Write what is not there yet. ``deadline`` is nothing to it: a client's time limits bound each request."""
        taken = Taken()
        planned = [(i, part) for i, unit in enumerate(units) for part in parts(unit, self._prefix)]
        try:
            earlier = self._earlier([part for _, part in planned])
        except (ClientError, BotoCoreError, OSError, EOFError, zlib.error) as error:
            taken.failed[0] = f"S3 cannot be looked at: {error}"
            return taken
        writes = []
        for i, part in planned:
            known = earlier.ids.setdefault(part.partition, set())
            written = part.key in earlier.keys
            new = [] if written else [document for document in part.documents if document.id not in known]
            known.update(document.id for document in new)
            taken.duplicates += len(part.documents) - len(new)
            if new:
                writes.append(_Write(i, part.key, new))
        with ThreadPoolExecutor(self._workers) as pool:
            for write, trouble in zip(writes, pool.map(self._put, writes), strict=True):
                if trouble is None:
                    taken.stored += len(write.documents)
                elif trouble == _THERE:
                    taken.duplicates += len(write.documents)
                else:
                    taken.failed.setdefault(write.unit, f"S3 did not take an object: {trouble}")
        return taken

    def _earlier(self, planned: Sequence[Part]) -> "_Earlier":
        """The parts that are written already, and the ids in other objects that overlap with them."""
        spans: dict[Partition, list[Part]] = {}
        for part in planned:
            spans.setdefault(part.partition, []).append(part)
        earlier = _Earlier()
        for partition, ours in spans.items():
            own = {part.key for part in ours}
            there = list(self._keys(partition, min(part.places[0] for part in ours)))
            earlier.keys |= own.intersection(there)
            missing = [part.places for part in ours if part.key not in earlier.keys]
            for key in there:
                if any(may_hold(key, first, last) for first, last in missing):
                    earlier.ids.setdefault(partition, set()).update(self._ids(key))
        return earlier

    def _keys(self, partition: Partition, first: str) -> Iterator[str]:
        """The keys of a partition whose objects end at this place or later."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=partition.prefix, StartAfter=partition.prefix + first
        )
        for page in pages:
            for entry in page.get("Contents", ()):
                yield entry["Key"]

    def _ids(self, key: str) -> Iterator[str]:
        """The ids in an object. What somebody else wrote there holds none."""
        text = gzip.decompress(self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read())
        for line in text.split(b"\n"):
            try:
                yield read_document(line).id
            except NotADocument:
                continue

    def _put(self, write: "_Write") -> str | None:
        """Write an object. What was in the way, ``_THERE`` if it is one of this key."""
        try:
            self._client.put_object(
                Bucket=self._bucket,
                Key=write.key,
                Body=packed(write.documents),
                IfNoneMatch="*",
                ContentType="application/gzip",
            )
        except ClientError as error:
            return _THERE if error.response["Error"]["Code"] == _THERE else str(error)
        except BotoCoreError as error:
            return str(error)
        return None


class _Write(NamedTuple):
    """An object to be written for the unit of this position."""

    unit: int
    key: str
    documents: Sequence[Document]


class _Earlier:
    """What was in the bucket before: parts that are written, by key, and ids, by partition."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.ids: dict[Partition, set[str]] = {}
