"""No shape breaks the index: hostile records all arrive in the real Elasticsearch and OpenSearch, as they are or
rescued."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator

import pytest

from agent.delivery.contract import DeliveryBatch, Outcome
from agent.processors.enrich import enrich
from agent.processors.normalise import Normaliser
from agent.record import Batch, Counts, RunId, record_id
from agent.render import render
from tests.contract.clusters import ClusterConfig, config_for, output_of
from tests.e2e.hostile_lines import documents_of, hostile_lines
from tests.servers.opensearch import OpensearchServer
from tests.servers.search_node import SearchNode

RECORDS = 1000
UNAVOIDABLE = (
    "Duplicate field",
    "Number value length",
    "reserved character \\0",
    "one immense field whose keyed encoding is longer",
    'DocValuesField "_ignored" is too large, must be <= 32766',
    "Field name cannot contain only whitespace",
    "Field name cannot be an empty string",
)
"""What Elasticsearch refuses whatever the mapping says: repeated keys, numbers of over 1,000 digits, keys with NUL or
of over 32 KB, metrics without a name."""
UNAVOIDABLE_IN_OPENSEARCH = (
    *UNAVOIDABLE,
    "The depth of the field has exceeded",
    "The depth of the nested array field has exceeded",
    "starting or ending with a [.] makes object resolution ambiguous",
    "field name cannot contain only the character [.]",
    "field name cannot be an empty string",
    "object field cannot contain only whitespace: ['ml.metrics.",
    "object mapping for [ml.metrics.",
    "can't merge a non object mapping [ml.metrics.",
    "Limit of total fields",
)
"""What OpenSearch refuses beside it: metrics that are paths or too many, for want of ``subobjects``."""
_PART_BYTES = 2 * 1024**2
_STREAM = "modeltail.inference-default"
Report = Callable[[str, object], None]

_decoder = json.JSONDecoder(parse_int=float)
_IDENTITY = {"host.name": b'"node-1"', "ml.model.name": b'"fraud-scorer"'}


@pytest.fixture(params=["elasticsearch", "elasticsearch_8", "opensearch"])
def server(request: pytest.FixtureRequest) -> SearchNode:
    """The real server of each supported version."""
    started: SearchNode = request.getfixturevalue(request.param)
    return started


def normalised(lines: list[bytes]) -> dict[str, bytes]:
    """The documents these lines become on their way to the queue, by id."""
    batch = Batch("in", None, time.time_ns(), lines, {}, {}, Counts(len(lines), sum(map(len, lines))))
    documents: dict[str, bytes] = {}
    for rendered in render(enrich(Normaliser()(batch), _IDENTITY), RunId().text, 1):
        for action, document in zip(*[iter(rendered.lines.split(b"\n")[:-1])] * 2, strict=True):
            documents[json.loads(action)["create"]["_id"]] = document
    return documents


def careless(lines: list[bytes]) -> dict[str, bytes]:
    """Documents that hold the same objects unlooked at, by id."""
    run = RunId().text
    identity = b'"@timestamp":"2026-11-22T10:00:00Z","host":{"name":"node-1"}'
    return {record_id(run, 0, i): document for i, document in enumerate(documents_of(lines, identity))}


def in_parts(documents: dict[str, bytes]) -> Iterator[list[str]]:
    """The ids in order, in parts whose documents are of the size of a usual batch."""
    part: list[str] = []
    size = 0
    for record, document in documents.items():
        if part and size + len(document) > _PART_BYTES:
            yield part
            part, size = [], 0
        part.append(record)
        size += len(document)
    yield part


async def deliver(config: ClusterConfig, documents: dict[str, bytes]) -> dict[str, str]:
    """Send the documents as delivery would, rescuing what is refused. The reasons of the rescued ones, by id."""
    rescued: dict[str, str] = {}
    async with output_of(config) as output:
        for some in in_parts(documents):
            outcome = await output.send(DeliveryBatch.of_documents(_STREAM, some, [documents[i] for i in some]))
            assert (outcome.retry, outcome.duplicates) == ([], 0)
            refused = {some[i]: reason for i, reason in outcome.rejected.items()}
            safe = [output.rescue(i, documents[i], reason) for i, reason in refused.items()]
            assert await output.send(DeliveryBatch.of_documents(_STREAM, list(refused), safe)) == Outcome()
            rescued |= refused
    return rescued


def stored(server: SearchNode, stream: str, documents: dict[str, bytes]) -> dict[str, bytes]:
    """The source text of every document of a data stream, by id, as the server gives it."""
    server.request("POST", f"/{stream}/_refresh")
    found: dict[str, bytes] = {}
    for some in in_parts(documents):
        query = {"size": len(some), "query": {"ids": {"values": some}}}
        answer = server.request_bytes("POST", f"/{stream}/_search?filter_path=hits.hits._id", query)
        ids = [hit["_id"] for hit in json.loads(answer)["hits"]["hits"]]
        assert len(ids) == len(set(ids))
        # Filtering would rewrite the sources, and no strict decoder reads them: so they are cut out of the text.
        text = server.request_bytes("POST", f"/{stream}/_search", query).decode()
        at = 0
        for record in ids:
            at = text.index('"_source":', text.index(f'"_id":"{record}"', at)) + len('"_source":')
            _, end = _decoder.raw_decode(text, at)
            found[record] = text[at:end].encode()
            at = end
    assert server.request("GET", f"/{stream}/_count")["count"] == len(found)
    return found


def arrive(server: SearchNode, documents: dict[str, bytes]) -> dict[str, str]:
    """Deliver, and hold every document stored against what it was. The reasons of the rescued ones."""
    config = config_for(server.url, is_opensearch=isinstance(server, OpensearchServer))
    stream = config.data_stream.replace("{dataset}-{namespace}", _STREAM)
    rescued = asyncio.run(deliver(config, documents))
    there = stored(server, stream, documents)
    assert there.keys() == documents.keys()
    for record, document in documents.items():
        if record in rescued:
            assert json.loads(there[record])["event"]["original"] == document.decode("utf-8", "replace")
        else:
            assert there[record] == document
    streams = server.request("GET", "/_resolve/index/*")
    assert "planted" not in json.dumps(streams)
    return rescued


def test_hostile_lines_all_arrive(server: SearchNode, record_property: Report) -> None:
    """A thousand hostile lines through the whole way of a record: each is stored once, and only what no mapping can
    take is rescued."""
    documents = normalised(hostile_lines(RECORDS, seed=1))
    assert len(documents) == RECORDS
    rescued = arrive(server, documents)
    record_property("rescued", len(rescued))
    unavoidable = UNAVOIDABLE_IN_OPENSEARCH if isinstance(server, OpensearchServer) else UNAVOIDABLE
    assert [reason for reason in rescued.values() if not any(said in reason for said in unavoidable)] == []
    assert 0 < len(rescued) < RECORDS


def test_careless_documents_all_arrive(server: SearchNode, record_property: Report) -> None:
    """The same objects put into documents by someone who looks at nothing: stored as they are, or rescued whole."""
    documents = careless(hostile_lines(RECORDS, seed=2))
    rescued = arrive(server, documents)
    record_property("rescued", len(rescued))
    assert 0 < len(rescued) < len(documents)
