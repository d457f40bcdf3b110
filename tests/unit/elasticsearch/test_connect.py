"""Where Elastic Cloud's ids lead."""

import base64

import pytest

from agent.errors import Paused
from agent.outputs.elasticsearch.connect import cloud_address


def cloud_id(text: str, name: str = "my-deployment") -> str:
    """A deployment's id, as Elastic Cloud shows it."""
    return f"{name}:{base64.b64encode(text.encode()).decode()}"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("eu-west-1.aws.found.io$abc123$kib456", "https://abc123.eu-west-1.aws.found.io:443"),
        ("eu-west-1.aws.found.io$abc123$", "https://abc123.eu-west-1.aws.found.io:443"),
        ("eu-west-1.aws.found.io$abc123", "https://abc123.eu-west-1.aws.found.io:443"),
        ("cloud.example:9243$abc123$kib456$apm789", "https://abc123.cloud.example:9243"),
    ],
)
def test_an_id_leads_to_its_elasticsearch(text: str, address: str) -> None:
    """By TLS, at the port it names."""
    assert cloud_address(cloud_id(text)) == address


def test_the_name_may_hold_anything_or_nothing() -> None:
    """Only what stands behind the first colon counts."""
    assert cloud_address(cloud_id("d.io$e", "")) == "https://e.d.io:443"
    assert cloud_address(cloud_id("d.io$e", "Größe $ 1")) == "https://e.d.io:443"


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "name",
        "name:",
        "name:!!!",
        "name:abcde",
        "name:gläser",
        cloud_id("d.io"),
        cloud_id("$e"),
        cloud_id("d.io$$kib"),
        cloud_id("d.io:port$e"),
        cloud_id("größe.io$e"),
        f"name:{base64.b64encode(bytes([255, 36, 255])).decode()}",
    ],
)
def test_what_is_no_id_pauses(wrong: str) -> None:
    """A person must look at it; it is not asked of anybody."""
    with pytest.raises(Paused, match="cloud_id"):
        cloud_address(wrong)
