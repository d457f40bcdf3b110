"""What Kafka's answers mean to the delivery loop."""

import ssl

import aiokafka.errors
import pytest

from agent.errors import Paused, Retryable, SendError, TooLarge
from agent.outputs.kafka import trouble


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (2, Retryable), (3, Retryable), (6, Retryable), (10, TooLarge), (14, Retryable), (18, TooLarge),
        (19, Retryable), (29, Paused), (31, Paused), (32, Paused), (35, Paused), (45, Retryable), (56, Retryable),
        (76, Paused), (87, Paused), (999, Retryable), (-1, Retryable),
    ],
)  # fmt: skip
def test_refusals_are_what_can_be_done_about_them(code: int, kind: type[SendError]) -> None:
    """A person for what is set wrong, time for the rest; the answer names what was asked for."""
    said = trouble.refused(code, "topic t, partition 0")
    assert type(said) is kind
    assert str(said).startswith(f"topic t, partition 0: {trouble.name_of(code)}")


def test_codes_are_those_that_aiokafka_knows() -> None:
    """Of the codes both know, each means the same."""
    known = {error.errno: error.__name__ for error in aiokafka.errors.BrokerResponseError.__subclasses__()}
    for codes, names in (
        (trouble.TAKEN, {"NoError", "DuplicateSequenceNumber"}),
        (trouble.UNDECIDED, {"RequestTimedOutError", "NotEnoughReplicasAfterAppendError"}),
        (trouble.TOO_LARGE, {"MessageSizeTooLargeError", "RecordListTooLargeError"}),
        (
            trouble.SPENT,
            {"OutOfOrderSequenceNumber", "InvalidProducerEpoch", "InvalidProducerIdMapping", "UnknownProducerId"},
        ),
    ):
        assert {known[code] for code in codes if code in known} == names


@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (aiokafka.errors.AuthenticationFailedError("no"), Paused),
        (aiokafka.errors.IllegalSaslStateError(), Paused),
        (aiokafka.errors.UnsupportedSaslMechanismError("no"), Paused),
        (ssl.SSLCertVerificationError("certificate has expired"), Paused),
        (ConnectionRefusedError(111, "refused"), Retryable),
        (TimeoutError(), Retryable),
        (ConnectionResetError(), Retryable),
        (aiokafka.errors.KafkaConnectionError("closed"), Retryable),
    ],
)
def test_connections_fail_for_a_person_or_for_a_while(error: Exception, kind: type[SendError], tls: bool) -> None:
    """Credentials and certificates are settings; nobody listening is an outage."""
    said = trouble.unreachable("broker:9092", error, tls)
    assert type(said) is kind
    assert "broker:9092" in str(said)


@pytest.mark.parametrize(
    ("error", "tls", "advice"),
    [
        (aiokafka.errors.IllegalSaslStateError(), False, "leave out `sasl`"),
        (ConnectionResetError(), True, "is TLS on there?"),
        (TimeoutError(), False, "is it a Kafka broker's?"),
    ],
)
def test_wrong_listener_is_what_the_advice_is_about(error: Exception, tls: bool, advice: str) -> None:
    """A port that is another's, or another listener's, is a mistake that only the configuration's writer can see."""
    assert advice in str(trouble.unreachable("broker:9092", error, tls))
