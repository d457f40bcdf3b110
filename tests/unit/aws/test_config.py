"""Settings of the outputs to AWS that cannot be meant."""

import pytest

from agent.config.load import read
from agent.config.root import AgentConfig
from agent.errors import ConfigError

ARN = "arn:aws:kinesis:eu-central-1:123456789012:stream/inference"


def mistakes(output: str) -> list[str]:
    """What is wrong with an output of these settings."""
    try:
        read(AgentConfig, f"inputs: [{{type: stdin}}]\noutputs: [{{{output}}}]".encode(), "a.yaml", {})
    except ConfigError as error:
        return error.problems
    return []


@pytest.mark.parametrize(
    "output",
    [
        "type: kinesis, stream: inference",
        f"type: kinesis, stream: '{ARN}', region: eu-central-1",
        "type: kinesis, stream: a.b_c-d, aggregation: kpl, record_bytes: 50KiB, partition_key: 'field:labels.tenant'",
        "type: kinesis, stream: s, endpoint: 'http://127.0.0.1:4567', access_key_id: AKID, secret_access_key: SECRET",
        "type: firehose, stream: inference, profile: logs",
        "type: firehose, stream: inference, record_bytes: 1",
    ],
)
def test_good_settings_are_taken(output: str) -> None:
    """From the smallest on."""
    assert mistakes(output) == []


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        ("type: kinesis", "outputs[0].stream: is missing"),
        ("type: kinesis, stream: a b", "outputs[0].stream: "),
        ("type: kinesis, stream: 'arn:aws:s3:::bucket'", "outputs[0].stream: "),
        (f"type: kinesis, stream: '{ARN}', region: us-east-1", "the ARN names another region than `region`"),
        ("type: kinesis, stream: s, partition_key: host", "outputs[0].partition_key: "),
        ("type: kinesis, stream: s, partition_key: 'field:'", "outputs[0].partition_key: "),
        ("type: kinesis, stream: s, aggregation: zip", "outputs[0].aggregation: "),
        ("type: kinesis, stream: s, record_bytes: 11MiB", "outputs[0].record_bytes: "),
        ("type: kinesis, stream: s, access_key_id: AKID", "`access_key_id` and `secret_access_key` go together"),
        ("type: kinesis, stream: s, session_token: TOKEN", "`session_token` needs"),
        ("type: firehose, stream: s, endpoint: firehose", "outputs[0].endpoint: "),
        (f"type: firehose, stream: '{ARN}'", "outputs[0].stream: "),
        ("type: firehose, stream: s, record_bytes: 2MiB", "outputs[0].record_bytes: "),
        (
            "type: firehose, stream: s, profile: p, access_key_id: AKID, secret_access_key: SECRET",
            "give either `profile` or keys",
        ),
    ],
)
def test_setting_that_cannot_be_meant_is_refused(output: str, problem: str) -> None:
    """Before anything is started."""
    found = mistakes(output)
    assert [problem in sentence for sentence in found] == [True], found
