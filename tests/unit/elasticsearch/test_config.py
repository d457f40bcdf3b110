"""Settings, names and the template file."""

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.outputs.elasticsearch.config import ElasticsearchConfig
from agent.outputs.elasticsearch.names import data_stream_name, index_pattern, segment, template_name
from agent.outputs.elasticsearch.template import DEFAULT_PATTERN, index_template, mark_of, template_file

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({}, "hosts"),
        ({"hosts": ["http://a:1"], "cloud_id": "x:y"}, "hosts"),
        ({"hosts": ["http://a:1"], "username": "u"}, "username"),
        ({"hosts": ["http://a:1"], "username": "u", "password": "p", "api_key": "k"}, "api_key"),
        ({"hosts": ["http://a:1"], "client_key": "k"}, "client_key"),
        ({"hosts": ["http://a:1"], "ca_fingerprint": "0" * 64, "ca_file": "f"}, "ca_fingerprint"),
        ({"hosts": ["http://a:1"], "ca_fingerprint": "0" * 64, "proxy": "http://p:1"}, "ca_fingerprint"),
        ({"hosts": ["http://a:1"], "ca_fingerprint": "0" * 64, "verify": "none"}, "ca_fingerprint"),
        ({"hosts": ["http://a:1"], "proxy": "socks5://p:1"}, "proxy"),
        ({"hosts": ["http://a:1"], "headers": {"Content-Type": "x"}}, "headers"),
        ({"hosts": ["http://a:1"], "data_stream": "logs-{model}"}, "data_stream"),
    ],
)
def test_fields_that_contradict_each_other_are_named(settings: dict[str, Any], field: str) -> None:
    """Each contradiction is one sentence at one field."""
    assert [name for name, _ in ElasticsearchConfig(**settings).problems()] == [field]


@pytest.mark.parametrize(
    "settings",
    [
        {"hosts": ["es:9200"]},
        {"hosts": ["ftp://es:9200"]},
        {"hosts": ["https://user:pw@es:9200"]},
        {"hosts": ["https://es:9200/?a=b"]},
        {"ca_fingerprint": "12:34"},
        {"data_stream": "Logs-x"},
        {"data_stream": "_logs"},
        {"data_stream": "logs x"},
        {"verify": "maybe"},
        {"setup": "yes"},
        {"pipeline": ""},
    ],
)
def test_values_that_cannot_be_are_refused(settings: dict[str, Any]) -> None:
    """What no server or data stream can be called is refused when the configuration is read."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"type": "elasticsearch", **settings}, ElasticsearchConfig)


@pytest.mark.parametrize(
    "host", ["http://127.0.0.1:9200", "https://es", "https://[::1]:9200", "https://gateway.example:443/es/prod"]
)
def test_addresses_people_write_are_taken(host: str) -> None:
    """Ports, path prefixes and IPv6 literals."""
    config = msgspec.convert({"type": "elasticsearch", "hosts": [host]}, ElasticsearchConfig)
    assert list(config.problems()) == []


@pytest.mark.parametrize(
    ("form", "stream", "pattern", "template"),
    [
        ("logs-{dataset}-{namespace}", "logs-modeltail.inference-eu-west", "logs-modeltail.*-*", "logs-modeltail"),
        ("logs-models-{namespace}", "logs-models-eu-west", "logs-models-*", "logs-models"),
        ("{dataset}-{namespace}", "modeltail.inference-eu-west", "modeltail.*-*", "modeltail"),
        ("fixed", "fixed", "fixed", "fixed"),
    ],
)
def test_names_follow_the_form(form: str, stream: str, pattern: str, template: str) -> None:
    """A namespace may hold hyphens, a dataset may not; the pattern covers the stream and no more than it must."""
    assert data_stream_name(form, "modeltail.inference-eu-west") == stream
    assert index_pattern(form) == pattern
    assert template_name(pattern) == template


@given(name=st.text(min_size=1))
def test_a_name_is_one_segment_of_an_address_whatever_is_in_it(name: str) -> None:
    """It begins no query and no further segment, and is read as it was."""
    address = urlsplit(f"http://es:9200/{segment(name)}/_bulk?filter_path=items")
    assert ([unquote(part) for part in address.path.split("/")], address.query, address.fragment) == (
        ["", name, "_bulk"],
        "filter_path=items",
        "",
    )


def test_the_template_file_is_the_template() -> None:
    """What lies in ``config`` is what the output installs."""
    assert (ROOT / "config" / "elasticsearch" / "logs-modeltail.json").read_text() == template_file()
    assert index_pattern(ElasticsearchConfig().data_stream) == DEFAULT_PATTERN


def test_retention_is_part_of_the_lifecycle() -> None:
    """Without retention records stay; with it, at least that long."""
    assert index_template()["template"]["lifecycle"] == {"enabled": True}
    assert index_template(retention_secs=90.5)["template"]["lifecycle"] == {"enabled": True, "data_retention": "91s"}


@pytest.mark.parametrize(
    "mappings", [None, {}, {"_meta": None}, {"_meta": {}}, {"_meta": {"modeltail_template": "1"}}, "x", {"_meta": []}]
)
def test_other_templates_have_no_mark(mappings: object) -> None:
    """Nothing but our own mark counts as ours."""
    assert mark_of(mappings) is None
    assert mark_of(index_template()["template"]["mappings"]) is not None
