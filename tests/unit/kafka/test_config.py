"""Settings of the output ``kafka``."""

from typing import Any

import msgspec
import pytest

from agent.outputs.kafka.config import KafkaConfig, topic_name

NEEDED = {"bootstrap": ["broker:9092"], "topic": "logs"}


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"ca_file": "f"}, "tls"),
        ({"verify": "none"}, "tls"),
        ({"tls": True, "client_key": "k"}, "client_key"),
        ({"sasl": "plain"}, "sasl"),
        ({"username": "u", "password": "p"}, "sasl"),
        ({"sasl": "scram-sha-512", "username": "u"}, "sasl"),
        ({"topic": "logs-{model}"}, "topic"),
        ({"topic": ".."}, "topic"),
    ],
)
def test_fields_that_contradict_each_other_are_named(settings: dict[str, Any], field: str) -> None:
    """Each contradiction is one sentence at one field."""
    assert [name for name, _ in KafkaConfig(**{**NEEDED, **settings}).problems()] == [field]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"bootstrap": ["[::1]:9092", "192.0.2.1:9093"]},
        {"tls": True, "ca_file": "ca.pem", "sasl": "plain", "username": "u", "password": "p"},
        {"topic": "logs.{dataset}.{namespace}", "key": "field:labels.who"},
    ],
)
def test_good_settings_are_taken(settings: dict[str, Any]) -> None:
    """Nothing to say of them."""
    assert list(msgspec.convert({**NEEDED, "type": "kafka", **settings}, KafkaConfig).problems()) == []


@pytest.mark.parametrize(
    "settings",
    [
        {"bootstrap": []},
        {"bootstrap": ["broker"]},
        {"bootstrap": ["kafka://broker:9092"]},
        {"bootstrap": ["a:9092,b:9092"]},
        {"topic": "with space"},
        {"key": "field:"},
        {"key": "user"},
        {"compression": "lz4"},
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any]) -> None:
    """Before anything is started."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**NEEDED, "type": "kafka", **settings}, KafkaConfig)


def test_topic_is_named_after_the_stream() -> None:
    """A dataset holds no hyphen, a namespace neither."""
    assert topic_name("logs.{dataset}.{namespace}", "modeltail.inference-default") == "logs.modeltail.inference.default"
    assert topic_name("all", "modeltail.inference-default") == "all"
