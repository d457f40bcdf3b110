"""`modeltail queue export` gives out every readable document, and `replay` sends what was finished once more."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import cli
from agent.delivery.config import DeliveryConfig
from agent.delivery.contract import DeliveryBatch, Outcome
from agent.delivery.replay import Replay, Replayed
from agent.errors import Retryable
from agent.queue.disk import RealDisk
from agent.queue.group import Entry
from agent.queue.queue import open_queue
from agent.queue.span import Span
from agent.queue.walk import Walk, read_cursors
from agent.record import Counts, Documents, Origin, record_id
from tests.fakes.elasticsearch import FakeElasticsearch
from tests.fakes.output import FakeOutput
from tests.queue.entries import RUN, entry, entry_in_turn, ids
from tests.queue.tool import Ran, config, fill, goods, modeltail, snapshot

STREAM = "modeltail.inference-default"


def _timed(batch: int, *created: str) -> Entry:
    """A batch whose records were read at these times."""
    lines = []
    for i, moment in enumerate(created):
        record = record_id(RUN, batch, i)
        document = {"@timestamp": moment, "event": {"id": record, "created": moment}}
        lines.append(b'{"create":{"_id":"%s"}}\n%s\n' % (record.encode(), json.dumps(document).encode()))
    documents = [Documents(STREAM, batch, 0, len(created), b"".join(lines))]
    return Entry("in", documents, Origin("in", "s", b"%d" % batch), Counts(len(created), 0))


def _numbers(ran: Ran) -> list[str]:
    return [json.loads(line)["n"] for line in ran.out.splitlines()]


def test_export_gives_every_document_once_and_in_order(tmp_path: Path) -> None:
    """One a line, as it will be sent, of every data stream, finished or not."""
    fill(tmp_path, [entry(batch, stream=f"s{batch % 2}-default") for batch in range(1, 13)], done=3)
    ran = modeltail("queue", "export", "--queue", tmp_path)
    assert (ran.status, ran.err) == (0, "")
    assert _numbers(ran) == [i for batch in range(1, 13) for i in ids(batch)]


def test_export_for_an_output_leaves_out_what_it_finished(tmp_path: Path) -> None:
    """What `--output` gives is what the agent would deliver to it."""
    fill(tmp_path, done=3)
    ran = modeltail("queue", "export", "--queue", tmp_path, "--output", "out")
    assert _numbers(ran) == [i for batch in range(4, 13) for i in ids(batch)]
    ran = modeltail("queue", "export", "--queue", tmp_path, "--output", "other")
    assert (ran.status, ran.out) == (1, "")
    assert "no output other is known" in ran.err
    assert "known: out" in ran.err


def test_export_with_ids_wraps_the_documents(tmp_path: Path) -> None:
    """Id and data stream beside the document, whose text is not touched."""
    fill(tmp_path, [entry(1, pad=3)])
    lines = modeltail("queue", "export", "--queue", tmp_path, "--with-ids").out.splitlines()
    assert lines[0] == '{"id":"run-1-0","stream":"test-default","document":{"n":"run-1-0","pad":"xxx"}}'
    assert [json.loads(line)["id"] for line in lines] == ids(1)


def test_export_takes_a_time_range_by_when_records_were_read(tmp_path: Path) -> None:
    """Both ends included, to the millisecond, whatever the time the record itself says."""
    fill(
        tmp_path,
        [_timed(1, "2026-11-22T09:59:59.999Z", "2026-11-22T10:00:00.000Z"), _timed(2, "2026-11-22T11:00:00.001Z")],
    )
    times = ["--from", "2026-11-22T10:00:00Z", "--to", "2026-11-22T12:00:00+01:00"]
    ran = modeltail("queue", "export", "--queue", tmp_path, *times)
    assert [json.loads(line)["event"]["id"] for line in ran.out.splitlines()] == ["run-1-1"]
    ran = modeltail("queue", "export", "--queue", tmp_path, "--from", "yesterday")
    assert (ran.status, ran.out) == (cli.WRONG_USE, "")
    assert "is not a time" in ran.err


@given(moments=st.lists(st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)), min_size=3, max_size=3))
def test_span_picks_what_lies_between(moments: list[datetime]) -> None:
    """The rule is that of the numbers."""
    since, read, until = (moment.replace(tzinfo=UTC) for moment in moments)
    document = json.dumps({"event": {"created": read.isoformat().replace("+00:00", "Z")}}).encode()
    assert Span(since, until).picks(document) == (since <= read <= until)


@pytest.mark.parametrize(
    "document", [b"{}", b'{"event":"text"}', b'{"event":{"created":7}}', b'{"event":{"created":"x"}}', b"\xff", b""]
)
def test_record_of_unknown_time_is_always_picked(document: bytes) -> None:
    """Too many is better than too few."""
    now = datetime.now(UTC)
    assert Span(now, now).picks(document)


def test_export_skips_damage_and_says_so(tmp_path: Path) -> None:
    """The rest comes out; what is missing is told on standard error, and the exit status is 2."""
    fill(tmp_path)
    hit = goods(tmp_path)[4]
    path = tmp_path / hit.name.text
    data = bytearray(path.read_bytes())
    data[hit.stored.frame.offset + 60] ^= 1
    path.write_bytes(data)
    ran = modeltail("queue", "export", "--queue", tmp_path)
    assert ran.status == 2
    assert _numbers(ran) == [i for batch in range(1, 13) if batch != 5 for i in ids(batch)]
    assert [line.split()[0] for line in ran.err.splitlines()] == ["DAMAGED", "MISSING"]


def test_export_stops_quietly_when_nobody_reads_on(tmp_path: Path) -> None:
    """`modeltail queue export | head -1` is no error, and leaves nothing on standard error."""
    fill(tmp_path, [entry_in_turn(batch, 300, pad=200) for batch in range(1, 13)])
    command = [sys.executable, "-W", "error", "-m", "agent", "queue", "export", "--queue", str(tmp_path)]
    root = str(Path(cli.__file__).parents[1])
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": root}
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b'{"n":"run-1-0"')
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


def test_export_beside_a_running_agent_gives_what_it_accepted(tmp_path: Path) -> None:
    """Everything appended so far, and nothing of the queue is changed by it."""

    async def main() -> None:
        async with asyncio.timeout(30), open_queue(config(tmp_path), RUN) as queue:
            for batch in range(1, 13):
                await queue.append(entry(batch), "block")
                ran = modeltail("queue", "export", "--queue", tmp_path)
                assert ran.status == 0
                assert _numbers(ran) == [i for b in range(1, batch + 1) for i in ids(b)]

    asyncio.run(main())


# Replay.


def _replay(folder: Path, output: FakeOutput, span: Span, *, batch_records: int = 10_000) -> tuple[Replayed, list[str]]:
    async def main() -> tuple[Replayed, list[str]]:
        told: list[str] = []
        delivery = DeliveryConfig(batch_records=batch_records, backoff_initial=0.001, backoff_max=0.002)
        replay = Replay(output, delivery, span, told.append, lambda finding: None)
        cursor = read_cursors(RealDisk(), folder).get("out")
        await replay.run(Walk(RealDisk(), folder, durable=True), cursor, lambda: None)
        return replay.done, told

    return asyncio.run(main())


def test_replay_sends_what_the_output_finished_and_nothing_else(tmp_path: Path) -> None:
    """Under the ids they have; what it has not finished the agent will send."""
    fill(tmp_path, done=5, held=True)
    before = snapshot(tmp_path)
    output = FakeOutput()
    done, _ = _replay(tmp_path, output, Span(), batch_records=6)
    assert list(output.taken) == [i for batch in range(1, 6) for i in ids(batch)]
    assert (done.delivered, done.duplicates, done.unfinished, done.is_complete) == (15, 0, 21, True)
    assert max(output.requests) == 6
    assert snapshot(tmp_path) == before


def test_replay_again_finds_everything_there(tmp_path: Path) -> None:
    """A destination that recognises ids is not doubled."""
    fill(tmp_path, done=12, held=True)
    output = FakeOutput()
    _replay(tmp_path, output, Span())
    done, _ = _replay(tmp_path, output, Span())
    assert (done.delivered, done.duplicates, len(output.taken)) == (36, 36, 36)


def test_replay_takes_records_out_of_the_middle_of_a_frame(tmp_path: Path) -> None:
    """A time range cuts where it cuts."""
    fill(tmp_path, [_timed(1, *(f"2026-11-22T10:00:0{second}.000Z" for second in range(9)))], done=1, held=True)
    output = FakeOutput()
    span = Span(datetime(2026, 11, 22, 10, 0, 3, tzinfo=UTC), datetime(2026, 11, 22, 10, 0, 5, tzinfo=UTC))
    done, _ = _replay(tmp_path, output, span)
    assert list(output.taken) == ["run-1-3", "run-1-4", "run-1-5"]
    assert done.delivered == 3


def test_replay_counts_what_is_refused_by_reason(tmp_path: Path) -> None:
    """The rest is delivered."""
    fill(tmp_path, done=2, held=True)
    refuse: Callable[[DeliveryBatch], Outcome] = lambda batch: Outcome(rejected={0: "mapping", 1: "mapping"})  # noqa: E731
    done, _ = _replay(tmp_path, FakeOutput([refuse]), Span())
    assert (done.delivered, done.refused, done.is_complete) == (4, {"mapping": 2}, False)


def test_replay_of_a_damaged_queue_is_not_complete(tmp_path: Path) -> None:
    """What cannot be read cannot be sent: that is said, and the rest goes."""
    fill(tmp_path, done=12, held=True)
    hit = goods(tmp_path)[3]
    path = tmp_path / hit.name.text
    data = bytearray(path.read_bytes())
    data[hit.stored.frame.offset + 60] ^= 1
    path.write_bytes(data)
    done, _ = _replay(tmp_path, FakeOutput(), Span())
    assert (done.delivered, done.is_complete) == (33, False)


def test_replay_gives_up_when_nothing_is_taken(tmp_path: Path) -> None:
    """A dead destination ends it after a bounded number of attempts, each told."""
    fill(tmp_path, done=2, held=True)
    with pytest.raises(Retryable):
        _replay(tmp_path, FakeOutput([Retryable("no")] * 100), Span())


def _agent_file(folder: Path, outputs: str) -> Path:
    file = folder / "agent.yaml"
    file.write_text(f"inputs: [{{type: stdin}}]\noutputs: [{outputs}]\nqueue: {{path: {folder}/queue}}\n")
    return file


def test_replay_fills_an_elasticsearch_that_lost_records_beside_a_running_agent(tmp_path: Path) -> None:
    """The command as an operator calls it, while the queue is in use: each record is there once, and the output's
    place in the queue is as it was."""

    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    fill(tmp_path / "queue", [_timed(batch, now, now) for batch in range(1, 9)], done=6, output="es", held=True)

    async def main() -> None:
        async with FakeElasticsearch() as server, open_queue(config(tmp_path / "queue"), RUN) as queue:
            file = _agent_file(tmp_path, f"{{type: elasticsearch, id: es, hosts: ['{server.url}']}}")
            before = snapshot(tmp_path / "queue")
            for already in (0, 12):
                ran = await asyncio.to_thread(modeltail, "queue", "replay", "es", "--from", "1h", "-c", file)
                assert ran.status == 0, ran
                assert f"es: 12 records delivered, of these {already} were there already" in ran.out
                assert "Left to the agent: 4 records that es has not finished." in ran.out
                taken = [record for record, _ in server.documents(f"logs-{STREAM}")]
                assert sorted(taken) == sorted(record_id(RUN, batch, i) for batch in range(1, 7) for i in range(2))
            assert snapshot(tmp_path / "queue") == before
            assert queue.cursors["es"].passed == 12

    asyncio.run(main())


def test_replay_to_a_dead_destination_is_a_sentence(tmp_path: Path) -> None:
    """Exit status 1, and how far it came."""
    fill(tmp_path / "queue", done=6, output="es", held=True)
    outputs = (
        "{type: elasticsearch, id: es, hosts: ['http://127.0.0.1:9'], "
        "delivery: {backoff_initial: 1ms, backoff_max: 2ms}}"
    )
    ran = modeltail("queue", "replay", "es", "--from", "oldest", "-c", _agent_file(tmp_path, outputs))
    assert ran.status == 1
    assert "es: 0 records delivered" in ran.out
    assert "es takes nothing now" in ran.err
    assert "Traceback" not in ran.err


def test_replay_asks_before_it_doubles(tmp_path: Path) -> None:
    """An output that does not recognise ids gets its records again only with `--yes`, and not under a running agent,
    which writes to the same place."""
    queue_folder = tmp_path / "queue"
    fill(queue_folder, done=6, output="lines", held=True)
    file = _agent_file(tmp_path, f"{{type: ndjson, id: lines, path: {tmp_path}/out.ndjson}}")
    ran = modeltail("queue", "replay", "lines", "--from", "oldest", "-c", file)
    assert (ran.status, ran.out) == (1, "")
    assert "say --yes" in ran.err
    assert not (tmp_path / "out.ndjson").exists()

    async def beside() -> Ran:
        async with open_queue(config(queue_folder), RUN):
            return await asyncio.to_thread(
                modeltail, "queue", "replay", "lines", "--from", "oldest", "--yes", "-c", file
            )

    ran = asyncio.run(beside())
    assert ran.status == 1
    assert "stop it first" in ran.err
    assert not (tmp_path / "out.ndjson").exists()
    assert modeltail("queue", "replay", "lines", "--from", "oldest", "--yes", "-c", file).status == 0
    assert len((tmp_path / "out.ndjson").read_text().splitlines()) == 18


def test_replay_to_the_embedded_store_is_refused(tmp_path: Path) -> None:
    """It keeps its own position with its records: the command says what to do instead."""
    fill(tmp_path / "queue", done=6, output="local", held=True)
    file = _agent_file(tmp_path, f"{{type: local, path: {tmp_path}/store}}")
    ran = modeltail("queue", "replay", "local", "--from", "oldest", "--yes", "-c", file)
    assert (ran.status, ran.out) == (1, "")
    assert "keeps its own position" in ran.err
    assert not (tmp_path / "store").exists()


def test_replay_to_an_unknown_output_names_those_there_are(tmp_path: Path) -> None:
    """A slip of the hand is met with the list."""
    fill(tmp_path / "queue")
    ran = modeltail("queue", "replay", "typo", "--from", "oldest", "-c", _agent_file(tmp_path, "{type: stdout}"))
    assert ran.status == 1
    assert "has no output typo; it has stdout" in ran.err
