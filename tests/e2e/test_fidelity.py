"""What was written is what arrives: arbitrary JSON through queue, store and Elasticsearch, compared by its text."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from agent.delivery.config import DeliveryConfig
from agent.delivery.contract import Output
from agent.delivery.dead_letters.config import DeadLettersConfig
from agent.delivery.dead_letters.store import DeadLetters
from agent.delivery.loop import DeliveryLoop
from agent.form import Form
from agent.outputs.elasticsearch.config import ElasticsearchConfig
from agent.outputs.elasticsearch.output import ElasticsearchOutput
from agent.outputs.local.config import LocalConfig
from agent.outputs.local.output import LocalOutput
from agent.outputs.ndjson.config import NdjsonConfig
from agent.outputs.ndjson.output import NdjsonOutput
from agent.pipeline import Pipeline
from agent.processors.normalise import Normaliser
from agent.queue.config import QueueConfig
from agent.queue.queue import open_queue
from agent.record import Batch, Counts, Origin, RunId
from tests.e2e.json_text import elements, members
from tests.servers.elasticsearch import ElasticsearchServer

digits = st.text("0123456789", min_size=1, max_size=40).map(lambda d: d.lstrip("0") or "0")
numbers = st.one_of(
    st.integers(-(10**40), 10**40).map(str),
    st.builds("{}{}.{}".format, st.sampled_from(["", "-"]), digits, st.text("0123456789", min_size=1, max_size=40)),
    st.builds(
        "{}{}e{}{}".format,
        st.sampled_from(["", "-"]),
        digits,
        st.sampled_from(["", "+", "-"]),
        digits.map(lambda d: d[:2]),
    ),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
)
escapes = st.sampled_from(
    [
        r"\n",
        r"\t",
        r"\"",
        r"\\",
        r"\/",
        r"\b",
        r"\u0000",
        r"\u00e9",
        r"\ud83d\ude00",
        r"\ud800",
        r"\udc00",
        "é",
        "😀",
        "\u2028",
    ]
)
strings = st.lists(escapes | st.text("abc {}[]:,_-./", max_size=5), max_size=6).map(lambda parts: f'"{"".join(parts)}"')
scalars = (
    numbers | strings | st.sampled_from(["null", "true", "false", "1.10", "-0", "-0.0", "1E+2", "9007199254740993"])
)


def _array(items: list[str]) -> str:
    return f"[{', '.join(items)}]"


def _object(members: dict[str, str]) -> str:
    return "{" + ",".join(f'"{key}": {value}' for key, value in members.items()) + "}"


keys = st.text("abcdefghij", min_size=1, max_size=4)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4).map(_array) | st.dictionaries(keys, inner, max_size=4).map(_object),
    max_leaves=12,
)
records = st.fixed_dictionaries({}, optional={"inputs": values, "outputs": values, "x_other": values, "y_more": values})


def _flat(document: str) -> dict[str, str]:
    """The text of each value of interest."""
    tree = members(document)
    return {**members(tree.get("ml", "{}")), **members(tree.get("fields", "{}"))}


def _expected(record: dict[str, str]) -> dict[str, str]:
    """The same, as it was written; what is no object is wrapped where only objects may be."""
    return {
        key: value if not key.endswith("puts") or value.startswith("{") else f'{{"value":{value}}}'
        for key, value in record.items()
    }


async def _through(folder: Path, lines: list[bytes], outputs: list[Output]) -> None:
    """All lines through the real pipeline and queue to every output, until each is through with them."""
    run = RunId().text
    async with asyncio.timeout(60), open_queue(QueueConfig(path=folder / "queue", min_free=0), run) as queue:
        emit = Pipeline(queue, run, Form.BULK).emit_through([Normaliser()], "block")
        loops = []
        for output in outputs:
            subscription = queue.subscribe(output.id, from_oldest=True)
            store = DeadLetters(folder / "dead" / output.id, DeadLettersConfig())
            loops.append(DeliveryLoop(output, queue, subscription, DeliveryConfig(), store))
        batch = Batch("in", Origin("in", "s", b"1"), time.time_ns(), lines, {}, {}, Counts(len(lines), 0))
        await emit(batch)
        for loop in loops:
            loop.finish()
        await asyncio.gather(*(loop.run() for loop in loops))
        assert all(loop.subscription.cursor.counts == {"delivered": len(lines)} for loop in loops)


def _by_number(documents: Iterable[str]) -> dict[int, dict[str, str]]:
    flat = [_flat(document) for document in documents]
    return {int(values.pop("n")): values for values in flat}


@settings(
    max_examples=15,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(written=st.lists(records, min_size=20, max_size=60))
def test_every_value_arrives_as_the_text_it_was_written_as(
    elasticsearch: ElasticsearchServer, tmp_path_factory: pytest.TempPathFactory, written: list[dict[str, str]]
) -> None:
    """Big integers, long decimals, escapes and lone surrogates are the same text in store, file and `_source`."""
    folder = tmp_path_factory.mktemp("fidelity")
    lines = [_object({"n": str(n), **record}).encode() for n, record in enumerate(written)]
    prefix = f"f{os.urandom(6).hex()}-"
    stream = f"{prefix}modeltail.inference-default"

    async def main() -> None:
        remote = ElasticsearchConfig(id="es", hosts=[elasticsearch.url], data_stream=prefix + "{dataset}-{namespace}")
        local = LocalConfig(id="local", path=folder / "store")
        plain = NdjsonConfig(id="plain", path=folder / "plain.ndjson")
        async with ElasticsearchOutput(remote) as es, LocalOutput(local) as store, NdjsonOutput(plain) as file:
            await _through(folder, lines, [es, store, file])

    asyncio.run(main())
    expected = {n: _expected(record) for n, record in enumerate(written)}
    assert _by_number((folder / "plain.ndjson").read_text().split("\n")[:-1]) == expected
    assert _by_number(_stored(folder / "store")) == expected
    assert _by_number(_sources(elasticsearch, stream, len(lines))) == expected


def _stored(folder: Path) -> Iterator[str]:
    """Every document of an embedded store, as `modeltail search --json` prints it."""
    command = [sys.executable, "-m", "agent", "search", "", "--json", "--limit", "1000", "--store", str(folder)]
    yield from subprocess.run(command, capture_output=True, check=True).stdout.decode().split("\n")[:-1]


def _sources(server: ElasticsearchServer, stream: str, count: int) -> Iterator[str]:
    """Every document of a data stream, unfiltered: filtering a source rewrites its numbers."""
    server.request("POST", f"/{stream}/_refresh")
    answer = server.request_bytes("POST", f"/{stream}/_search", {"size": count + 1}).decode()
    for hit in elements(members(members(answer)["hits"])["hits"]):
        yield members(hit)["_source"]
