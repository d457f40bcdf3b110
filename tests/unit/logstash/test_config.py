"""Which settings go together, and what an address may look like."""

from typing import Any

import msgspec
import pytest

from agent.outputs.logstash.config import LogstashConfig
from agent.outputs.logstash.connect import endpoint

WEB = {"protocol": "http", "hosts": ["https://a:1"]}


@pytest.mark.parametrize(
    ("settings", "fields"),
    [
        ({"hosts": ["a"]}, []),
        ({"hosts": ["a:5044", "[::1]:5044"], "tls": True, "ca_file": "f", "client_cert": "c"}, []),
        (WEB | {"format": "ndjson", "username": "u", "password": "p", "headers": {"x": "y"}}, []),
        ({"protocol": "tcp", "hosts": ["a:1"]}, []),
        ({"hosts": ["https://a:1"]}, ["hosts"]),
        ({"hosts": ["a:1/path"]}, ["hosts"]),
        ({"hosts": ["a:70000"]}, ["hosts"]),
        ({"hosts": ["a:0"]}, ["hosts"]),
        ({"protocol": "tcp", "hosts": ["a"]}, ["hosts"]),
        ({"protocol": "http", "hosts": ["a:1"]}, ["hosts"]),
        ({"protocol": "http", "hosts": ["http://a:70000"]}, ["hosts"]),
        ({"protocol": "http", "hosts": ["http://a:0/path"]}, ["hosts"]),
        (WEB | {"proxy": "http://user:hunter2@a:70000"}, ["proxy"]),
        (WEB | {"tls": True}, ["tls"]),
        (WEB | {"username": "u"}, ["username"]),
        (WEB | {"headers": {"Content-Type": "x"}}, ["headers"]),
        ({"hosts": ["a:1"], "username": "u", "password": "p"}, ["username"]),
        ({"hosts": ["a:1"], "headers": {"x": "y"}}, ["headers"]),
        ({"hosts": ["a:1"], "format": "ndjson"}, ["format"]),
        ({"hosts": ["a:1"], "ca_file": "f"}, ["ca_file"]),
        ({"hosts": ["a:1"], "verify": "none"}, ["verify"]),
        ({"protocol": "http", "hosts": ["http://a:1"], "client_cert": "c"}, ["client_cert"]),
        ({"hosts": ["a:1"], "tls": True, "client_key": "k"}, ["client_key"]),
    ],
)
def test_settings_that_do_not_go_together_are_named(settings: dict[str, Any], fields: list[str]) -> None:
    """Each contradiction is one sentence at one field."""
    assert [name for name, _ in LogstashConfig(**settings).problems()] == fields


@pytest.mark.parametrize("host", ["", "a b", "user:pw@a:1", "http://user:pw@a:1", "ftp://a", "a:port", "a:1:2", "::1"])
def test_what_cannot_be_a_host_is_refused(host: str) -> None:
    """A password in an address, above all: addresses are shown in the log."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"type": "logstash", "hosts": [host]}, LogstashConfig)


def test_hosts_are_needed() -> None:
    """There is no default."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"type": "logstash", "hosts": []}, LogstashConfig)


@pytest.mark.parametrize(
    ("host", "name", "port"),
    [
        ("logstash", "logstash", 5044),
        ("logstash:6000", "logstash", 6000),
        ("[::1]", "::1", 5044),
        ("[::1]:6000", "::1", 6000),
        ("http://a", "a", 80),
        ("https://a/path", "a", 443),
        ("https://[::1]:8443", "::1", 8443),
    ],
)
def test_address_is_read(host: str, name: str, port: int) -> None:
    """Name and port, by default the one that Beats use, or the scheme's."""
    assert endpoint(host) == (name, port)
