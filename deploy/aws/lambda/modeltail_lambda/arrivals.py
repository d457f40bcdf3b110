"""The event of an invocation: which Kinesis records came, from which shard."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, NamedTuple


class Arrival(NamedTuple):
    """One Kinesis record. Its place in the stream, shard and sequence number, never changes."""

    shard: str
    sequence: str
    data: bytes


class NotAnEvent(Exception):
    """What the function was invoked with is not an event of a Kinesis stream. The invocation fails; it is retried and
    in the end reported by the event source mapping."""


def arrivals(event: Mapping[str, Any]) -> list[Arrival]:
    """The Kinesis records of an event, in its order."""
    try:
        return [
            Arrival(
                record["eventID"].partition(":")[0],
                record["kinesis"]["sequenceNumber"],
                base64.b64decode(record["kinesis"]["data"], validate=True),
            )
            for record in event["Records"]
        ]
    except (KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise NotAnEvent(
            f"this is not an event of a Kinesis stream: {error!r}: is the function's mapping right?"
        ) from error
