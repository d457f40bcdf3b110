"""What the outputs are measured against as OpenSearch answers as the real one does, in what the two products differ."""

import json
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bench.outputs.opensearch import PEERS

BULK = b'{"create":{"_id":"a"}}\n{"@timestamp":"2026-11-22T10:00:00Z"}\n'
STREAM = "/logs-bench.sink-default"


@pytest.fixture(params=["sink", "real"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of the one, then of the other."""
    if request.param == "real":
        yield request.getfixturevalue("opensearch").url
        return
    (peer,) = PEERS
    with peer.start(tmp_path) as other:
        yield other.config["hosts"][0]


def ask(address: str, method: str, target: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
    """Status, headers by their names in lower case, and body of one answer."""
    connection = HTTPConnection(urlsplit(address).netloc, timeout=30)
    try:
        connection.request(method, target, body, {"content-type": "application/x-ndjson"} if body else {})
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def test_it_says_that_it_is_opensearch(address: str) -> None:
    """By its first page and in a header, and does not pass for Elasticsearch."""
    status, headers, body = ask(address, "GET", "/")
    said = json.loads(body)
    assert (status, said["version"]["distribution"]) == (200, "opensearch")
    assert "The OpenSearch Project" in said["tagline"]
    assert headers["x-opensearch-version"] == f"OpenSearch/{said['version']['number']} (opensearch)"
    assert "x-elastic-product" not in headers


@pytest.mark.parametrize(
    ("method", "target", "status", "told"),
    [
        ("POST", f"{STREAM}/_bulk?require_data_stream=true", 400, b"unrecognized parameter: [require_data_stream]"),
        ("GET", "/_ilm/policy/p", 400, b'{"error":"no handler found for uri [/_ilm/policy/p] and method [GET]"}'),
        ("POST", "/_security/user/_has_privileges", 400, b"and method [POST]"),
        ("GET", f"{STREAM.replace('/', '/_data_stream/')}", 404, b'"status":404'),
        ("POST", f"{STREAM}/_bulk?filter_path=errors,items.*.status", 200, b'{"create":{"status":201}}'),
    ],
)
def test_it_answers_as_opensearch_does(address: str, method: str, target: str, status: int, told: bytes) -> None:
    """It refuses what only Elasticsearch knows, and takes a bulk as its own clients send it."""
    answered, _, body = ask(address, method, target, BULK if "_bulk" in target else b"")
    assert answered == status
    assert told.replace(b" ", b"") in body.replace(b" ", b"")
