"""What Kafka's error codes and aiokafka's exceptions mean to us.

Codes are those of Apache Kafka's ``org.apache.kafka.common.protocol.Errors``; aiokafka has classes for some of them
only, so they are told apart by number.
"""

import ssl
from typing import Final

from agent.errors import Paused, Retryable, SendError, TooLarge

TAKEN: Final = frozenset({0, 46})
"""Taken, or taken before under the same sequence number."""
UNDECIDED: Final = frozenset({7, 20})
"""Written by the leader, but not, or not in time, by as many replicas as it takes."""
ELSEWHERE: Final = frozenset({3, 5, 6, 9, 56, 72, 74, 75})
"""Another broker leads the partition now, or none does: ask who."""
TOO_LARGE: Final = frozenset({10, 18})
CERTAIN: Final = TAKEN | TOO_LARGE
"""What decides a doubt: a request this large was not taken the first time either."""
SPENT: Final = frozenset({45, 47, 49, 59, 90})
"""The brokers do not know this producer any more, or not its last sequence number: a new one is needed."""
NOT_ALLOWED: Final = frozenset({29, 31, 33, 34, 44, 53, 58})

_NAMES: Final = {
    2: "CORRUPT_MESSAGE",
    3: "UNKNOWN_TOPIC_OR_PARTITION",
    5: "LEADER_NOT_AVAILABLE",
    6: "NOT_LEADER_OR_FOLLOWER",
    7: "REQUEST_TIMED_OUT",
    9: "REPLICA_NOT_AVAILABLE",
    10: "MESSAGE_TOO_LARGE",
    14: "COORDINATOR_LOAD_IN_PROGRESS",
    15: "COORDINATOR_NOT_AVAILABLE",
    17: "INVALID_TOPIC_EXCEPTION",
    18: "RECORD_LIST_TOO_LARGE",
    19: "NOT_ENOUGH_REPLICAS",
    20: "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
    29: "TOPIC_AUTHORIZATION_FAILED",
    31: "CLUSTER_AUTHORIZATION_FAILED",
    32: "INVALID_TIMESTAMP",
    44: "POLICY_VIOLATION",
    45: "OUT_OF_ORDER_SEQUENCE_NUMBER",
    47: "INVALID_PRODUCER_EPOCH",
    56: "KAFKA_STORAGE_ERROR",
    59: "UNKNOWN_PRODUCER_ID",
    76: "UNSUPPORTED_COMPRESSION_TYPE",
    87: "INVALID_RECORD",
}
_BADLY_SET: Final = {
    32: "the brokers' clock, or ours, is wrong, or the topic takes no record of now",
    35: "the brokers are too old",
    43: "the brokers are too old",
    76: "the brokers do not take this `compression`",
    87: "the topic may be compacted, which takes no record without a key: see `key`",
}


def name_of(code: int) -> str:
    """An error code's name, as Kafka's own tools write it."""
    return _NAMES.get(code, f"error {code}")


def refused(code: int, what: str) -> SendError:
    """What a code means that says for certain that nothing was taken. ``what`` was asked for."""
    said = f"{what}: {name_of(code)}"
    if code in TOO_LARGE:
        return TooLarge(said)
    if code in NOT_ALLOWED:
        return Paused(f"{said}: the agent's user is not allowed to")
    if code in _BADLY_SET:
        return Paused(f"{said}: {_BADLY_SET[code]}")
    return Retryable(said)


def unreachable(address: str, error: Exception, tls: bool) -> SendError:
    """Why a connection could not be made, with TLS or without."""
    from aiokafka.errors import (
        AuthenticationFailedError,
        IllegalSaslStateError,
        SaslAuthenticationFailed,
        UnsupportedSaslMechanismError,
    )

    said = str(error) or type(error).__name__
    if isinstance(error, UnsupportedSaslMechanismError):
        return Paused(f"{address} does not offer the mechanism that `sasl` asks for")
    if isinstance(error, IllegalSaslStateError):
        return Paused(f"{address} asks nobody who they are: leave out `sasl`, or name the brokers' port that has it")
    if isinstance(error, AuthenticationFailedError | SaslAuthenticationFailed):
        return Paused(f"{address} does not accept who we are: {said}")
    if isinstance(error, ssl.SSLError):
        return Paused(f"TLS with {address} fails: {said}; is TLS on there?")
    if isinstance(error, TimeoutError):
        return Retryable(f"{address} does not answer; is it a Kafka broker's?")
    if tls and isinstance(error, ConnectionResetError):
        return Retryable(f"{address} hangs up while TLS is agreed on; is TLS on there?")
    return Retryable(f"{address} cannot be reached: {said}")
