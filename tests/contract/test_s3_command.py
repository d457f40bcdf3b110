"""`modeltail s3`: what is in the bucket comes back, and fills a hole elsewhere."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import yaml
from click.testing import CliRunner, Result

from agent.outputs.s3.command import s3_command
from agent.outputs.s3.config import S3Config
from agent.outputs.s3.output import S3Output
from agent.record import RunId, record_id
from tests.fakes.batches import batch_of
from tests.servers import ServerUnavailable, unavailable
from tests.servers.versitygw import KEYS, REGION, versitygw

RUN = RunId(10**15, bytes(8)).text
DAY = ("--since", "2026-11-22T00:00:00Z", "--until", "2026-11-23T23:59:59Z")
RECORDS = [
    ("2026-11-22T09:59:59Z", "fraud-scorer", "modeltail.inference-default"),
    ("2026-11-22T10:00:00Z", "fraud-scorer", "modeltail.inference-default"),
    ("2026-11-22T10:30:00Z", "iris", "modeltail.inference-default"),
    ("2026-11-22T12:15:00+01:00", "fraud-scorer", "modeltail.inference-default"),
    ("2026-11-23T00:00:00Z", "fraud-scorer", "app-blue"),
]


def _document(number: int) -> bytes:
    time, model, stream = RECORDS[number]
    dataset, _, namespace = stream.partition("-")
    content = {
        "@timestamp": time,
        "ml": {"model": {"name": model}},
        "event": {"id": record_id(RUN, number, 0)},
        "data_stream": {"dataset": dataset, "namespace": namespace},
        "odd": "\ud800",
    }
    return json.dumps(content, separators=(",", ":")).encode()


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A configuration whose outputs are two buckets, the first of which holds the records, a file and a store."""
    folder = tmp_path_factory.mktemp("s3")
    try:
        with versitygw(folder) as server:
            there = {"endpoint": server.url, "region": REGION, **KEYS}
            for bucket in ("full", "empty"):
                (server.buckets / bucket).mkdir()
            asyncio.run(_fill(msgspec.convert({"type": "s3", "bucket": "full", "prefix": "p", **there}, S3Config)))
            outputs = [
                {"type": "s3", "id": "full", "bucket": "full", "prefix": "p", **there},
                {"type": "s3", "id": "empty", "bucket": "empty", **there},
                {"type": "s3", "id": "gone", "bucket": "nobody-s", "delivery": {"backoff_max": "1ms"}, **there},
                {"type": "ndjson", "id": "file", "path": str(folder / "out.ndjson")},
                {"type": "local", "path": str(folder / "store")},
            ]
            inputs = [{"type": "file", "paths": ["/logs/*.log"]}]
            file = folder / "agent.yaml"
            queue = {"path": str(folder / "queue")}
            file.write_text(yaml.safe_dump({"inputs": inputs, "outputs": outputs, "queue": queue}))
            yield file
    except ServerUnavailable as error:
        unavailable(error)


async def _fill(config: S3Config) -> None:
    async with S3Output(config) as output:
        for number, (_, _, stream) in enumerate(RECORDS):
            batch = batch_of(*([[]] * number), [_document(number)], run=RUN, stream=stream)
            await output.send(batch.subset([0]))


def run(config: Path, *arguments: str) -> Result:
    """`modeltail s3` with these arguments."""
    return CliRunner().invoke(s3_command, [*arguments, "-c", str(config)], standalone_mode=False)


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        (DAY, [4, 0, 1, 2, 3]),
        ((*DAY, "--dataset", "app"), [4]),
        ((*DAY, "--dataset", "nothing"), []),
        ((*DAY, "--model", "iris"), [2]),
        (("--since", "2026-11-22T10:00:00Z", "--until", "2026-11-22T10:59:59Z"), [1, 2]),
        (("--since", "2026-11-22T10:00:01Z", "--until", "2026-11-22T11:15:00Z"), [2, 3]),
        (("--since", "2026-11-22T23:00:00Z", "--until", "2026-11-23T00:00:00Z"), [4]),
        (("--since", "2026-11-20T00:00:00Z", "--until", "2026-11-21T23:00:00Z"), []),
    ],
)
def test_cat_writes_the_documents_asked_for(config: Path, asked: tuple[str, ...], numbers: list[int]) -> None:
    """Byte for byte, hour by hour; the time counts, whatever zone it is written in."""
    done = run(config, "cat", "--output", "full", *asked)
    assert done.stdout_bytes.split(b"\n")[:-1] == [_document(number) for number in numbers]
    assert done.return_value == (0 if numbers else 2)


def test_replay_fills_what_is_missing_and_only_that(config: Path) -> None:
    """What is there already is recognised; the second time that is everything."""
    arguments = ("replay", "--to", "empty", "--output", "full", *DAY)
    some = run(config, *arguments, "--model", "iris")
    assert some.return_value == 0
    assert "1 delivered out of 5 objects, of these 0 were there already" in some.stdout
    done = run(config, *arguments)
    assert "5 delivered out of 5 objects, of these 1 were there already; 0 refused, 0 not taken" in done.stdout
    again = run(config, *arguments)
    assert "5 delivered out of 5 objects, of these 5 were there already" in again.stdout
    there = run(config, "cat", "--output", "empty", *DAY)
    assert sorted(there.stdout_bytes.split(b"\n")[:-1]) == sorted(map(_document, range(5)))


def test_replay_to_what_does_not_recognise_ids_needs_a_yes(config: Path) -> None:
    """A file takes everything, again and again."""
    arguments = ("replay", "--to", "file", "--output", "full", *DAY)
    assert "say --yes" in str(run(config, *arguments).exception)
    assert run(config, *arguments, "--yes").return_value == 0
    lines = (config.parent / "out.ndjson").read_bytes().split(b"\n")[:-1]
    assert sorted(lines) == sorted(map(_document, range(5)))


def test_replay_says_what_was_not_sent(config: Path) -> None:
    """The other bucket is not there: status 1, and nothing is claimed to be delivered."""
    done = run(config, "replay", "--to", "gone", "--output", "full", *DAY)
    assert done.return_value == 1
    assert "0 delivered" in done.stdout
    assert "NoSuchBucket" in done.stderr
    assert "run this again later" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("cat",), "--output must say which: full, empty, gone"),
        (("cat", "--output", "file"), "no output file of type `s3`"),
        (("cat", "--output", "full", "--since", "yesterday"), "is not a time"),
        (("cat", "--output", "full", "--since", "1h", "--until", "2h"), "--since must be before --until"),
        (("cat", "--output", "gone"), "NoSuchBucket"),
        (("replay", "--output", "full", "--to", "full"), "is where the records come from"),
        (("replay", "--output", "full", "--to", "nowhere"), "has no output nowhere"),
        (("replay", "--output", "full", "--to", "local"), "`modeltail s3 cat` gives you the records"),
    ],
)
def test_what_cannot_be_done_is_said(config: Path, arguments: tuple[str, ...], said: str) -> None:
    """In a sentence that says what to do."""
    assert said in str(run(config, *arguments).exception)
