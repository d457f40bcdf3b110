"""Sets aside in S3 what can go nowhere else.

    <bad prefix><shard>-<sequence>/<digest>.ndjson.gz

A line for each: the reason, where in the stream it was, and what came, as ``text`` or, if it is none, ``base64``. The
digest is that of the lines: the same Kinesis record, found bad in the same way again, makes the same object again.
"""

import base64
import gzip
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from .result import NotKept
from .unit import Bad, place_in_stream


class BadStore:
    """The objects below the prefix for what is bad. ``client`` is boto3's for S3."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix

    def put(self, bad: Sequence[Bad]) -> str:
        """Keep what was bad in one Kinesis record; the key it is kept under. Raises ``NotKept``."""
        text = b"".join(map(_line, bad))
        digest = hashlib.sha256(text).hexdigest()[:16]
        key = f"{self._prefix}{place_in_stream(bad[0].arrival)}/{digest}.ndjson.gz"
        try:
            self._client.put_object(
                Bucket=self._bucket, Key=key, Body=gzip.compress(text, mtime=0), ContentType="application/gzip"
            )
        except (ClientError, BotoCoreError) as error:
            raise NotKept(f"it could not be set aside in S3: {error}") from error
        return key


def _line(bad: Bad) -> bytes:
    entry = {"reason": bad.reason, "shard": bad.arrival.shard, "sequence": bad.arrival.sequence}
    try:
        entry["text"] = bad.content.decode()
    except UnicodeDecodeError:
        entry["base64"] = base64.b64encode(bad.content).decode()
    return json.dumps(entry).encode() + b"\n"
