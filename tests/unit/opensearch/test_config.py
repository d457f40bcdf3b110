"""Settings and the template file."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.outputs.elasticsearch.template import DEFAULT_PATTERN, mark_of
from agent.outputs.opensearch.config import AwsSigning, OpensearchConfig
from agent.outputs.opensearch.template import VERSION, index_template, template_file

ROOT = Path(__file__).parents[3]
HOSTS = {"hosts": ["https://a:1"]}


@pytest.mark.parametrize(
    ("settings", "fields"),
    [
        ({"hosts": []}, ["hosts"]),
        ({**HOSTS, "username": "u"}, ["username"]),
        ({**HOSTS, "aws": {}, "username": "u", "password": "p"}, ["aws"]),
        ({**HOSTS, "aws": {}, "headers": {"Authorization": "x"}}, ["headers"]),
        ({**HOSTS, "client_key": "k"}, ["client_key"]),
        ({**HOSTS, "aws": {"service": "aoss", "profile": "p"}}, []),
        (HOSTS, []),
    ],
)
def test_fields_that_contradict_each_other_are_named(settings: dict[str, Any], fields: list[str]) -> None:
    """Each contradiction is one sentence at one field."""
    config = msgspec.convert({"type": "opensearch", **settings}, OpensearchConfig)
    assert [name for name, _ in config.problems()] == fields


@pytest.mark.parametrize(
    ("settings", "fields"),
    [
        ({"access_key_id": "a"}, ["access_key_id"]),
        ({"session_token": "t"}, ["session_token"]),
        ({"access_key_id": "a", "secret_access_key": "s", "profile": "p"}, ["profile"]),
        ({"access_key_id": "a", "secret_access_key": "s", "session_token": "t"}, []),
    ],
)
def test_keys_for_aws_that_contradict_each_other_are_named(settings: dict[str, Any], fields: list[str]) -> None:
    """The same for who signs."""
    assert [name for name, _ in AwsSigning(**settings).problems()] == fields


@pytest.mark.parametrize("setting", ["cloud_id", "api_key", "ca_fingerprint", "retention"])
def test_what_only_elasticsearch_has_is_refused(setting: str) -> None:
    """It would do nothing."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"type": "opensearch", **HOSTS, setting: "x"}, OpensearchConfig)


def test_template_file_is_what_the_code_makes() -> None:
    """The file of the repository is made by the code, not edited."""
    file = ROOT / "config" / "opensearch" / "logs-modeltail.json"
    assert file.read_text() == template_file()
    assert mark_of(json.loads(file.read_text())["template"]["mappings"]) == VERSION


def test_template_has_nothing_that_opensearch_does_not_know() -> None:
    """No field of Elasticsearch's own types, no setting of its own."""
    template = json.dumps(index_template(DEFAULT_PATTERN))
    assert "flattened" not in template
    assert "subobjects" not in template
    assert "lifecycle" not in template
    assert "index.mode" not in template
