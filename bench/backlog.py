"""A dead server and a log that goes on: memory must not follow the backlog, nor the time of a restart."""

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.delivery.dead_letters.config import DeadLettersConfig
from agent.delivery.dead_letters.letter import dead_letter
from agent.delivery.dead_letters.store import DeadLetters
from bench import records
from bench.contenders import Job, Modeltail
from bench.processes import PeakMemory, rss_bytes, running
from bench.results import Backlog
from bench.startup import get
from bench.steer import SinkControl, TimeUp
from bench.workspace import AtWork, folder_bytes, free_port

RECORDS = 12_500_000
"""A little more than 5 GB of log."""
DEAD_LETTERS = 10_000
SECS_PER_MILLION = 60.0
"""A limit for filling and draining; far more than is needed."""
_LETTERS_AT_ONCE = 500


def measure_backlog(sink: SinkControl, workspace: Path, count: int, letters: int = DEAD_LETTERS) -> Backlog:
    """Fill the queue while the sink refuses everything, start again on it, let it drain; then the same records with a
    sink that accepts.

    Raises:
        TimeUp: the records did not arrive.
    """
    source = workspace / "backlog.ndjson"
    records.write_file(source, count)
    sink.reset()
    sink.hold()
    with _job(source, sink, workspace) as job:
        with _at_work(job) as worker:
            _put_dead_letters(worker.queue, letters)
            peak = PeakMemory(worker.pid)
            _fill(worker, peak, count)
            _wait_for_trouble(worker)
            queued, filling_peak = _rss(worker), peak.sample()
            queue_bytes = folder_bytes(worker.queue)
        with _at_work(job) as worker:
            restart_secs = _wait_until_ready(worker)
            _wait_for_trouble(worker)
            restarted, peak = _rss(worker), PeakMemory(worker.pid)
            sink.release()
            begun = time.monotonic()
            _drain(worker, sink, peak, count)
            drain_secs = time.monotonic() - begun
            draining_peak = peak.sample()
            missing, extra = records.missing_and_extra(count, sink.ids())
    sink.reset()
    with _job(source, sink, workspace) as job, _at_work(job) as worker:
        peak = PeakMemory(worker.pid)
        _drain(worker, sink, peak, count)
        without, without_peak = _rss(worker), peak.sample()
    return Backlog(
        records=count,
        input_bytes=source.stat().st_size,
        queue_bytes=queue_bytes,
        dead_letters=letters,
        queued_rss_bytes=queued,
        restarted_rss_bytes=restarted,
        without_rss_bytes=without,
        filling_peak_rss_bytes=filling_peak,
        draining_peak_rss_bytes=draining_peak,
        without_peak_rss_bytes=without_peak,
        restart_secs=round(restart_secs, 2),
        drain_secs=round(drain_secs, 1),
        missing=missing,
        extra=extra,
    )


@contextmanager
def _job(source: Path, sink: SinkControl, workspace: Path) -> Iterator[Job]:
    """A job in a folder of its own, which outlives the process that works on it."""
    with tempfile.TemporaryDirectory(prefix="modeltail-", dir=workspace) as folder:
        yield Job(source, sink.port, Path(folder), free_port())


@contextmanager
def _at_work(job: Job) -> Iterator[AtWork]:
    """modeltail on the job, from where it was left."""
    ours = Modeltail()
    command = ours.command(job)
    begun = time.monotonic()
    with running(command, job.folder / "log") as process:
        yield AtWork(job, ours.queue(job), process, begun)


def _put_dead_letters(queue: Path, count: int) -> None:
    """As the delivery loop puts them: some at a time, each lot synced."""
    store = DeadLetters(queue / "dead-letters" / "elasticsearch", DeadLettersConfig())
    document = next(iter(records.blocks(1))).rstrip(b"\n")
    for first in range(0, count, _LETTERS_AT_ONCE):
        store.put(
            dead_letter("elasticsearch", f"bench-{n}", "modeltail.inference-default", "refused", 1, document)
            for n in range(first, min(first + _LETTERS_AT_ONCE, count))
        )


def _rss(worker: AtWork) -> int:
    return sum(now for now, _ in rss_bytes(worker.pid).values())


def _wait_until_ready(worker: AtWork) -> float:
    """Wait until it says it is ready; how long after its start that was, in seconds."""
    while get(worker.job.status_port, "/readyz") is None:
        worker.check()
        if time.monotonic() - worker.begun > SECS_PER_MILLION:
            raise TimeUp("modeltail did not become ready again")
        time.sleep(0.01)
    return time.monotonic() - worker.begun


def _wait_for_trouble(worker: AtWork) -> None:
    """Wait until it holds what a dead server makes it hold: batches that were refused."""
    end = time.monotonic() + SECS_PER_MILLION
    while not any(
        o["trouble"] for o in json.loads(get(worker.job.status_port, "/readyz") or b"{}")["outputs"].values()
    ):
        worker.check()
        if time.monotonic() > end:
            raise TimeUp("the dead server was not noticed")
        time.sleep(0.05)


def _in_trouble(status_port: int) -> bool:
    outputs = json.loads(get(status_port, "/readyz") or b"{}").get("outputs", {})
    return any(output["trouble"] for output in outputs.values())


def _fill(worker: AtWork, peak: PeakMemory, count: int) -> None:
    """Wait until all records are in the queue, by the agent's own ledger."""
    end = time.monotonic() + 30 + SECS_PER_MILLION * count / 1e6
    while (appended := _appended(worker.job.status_port)) < count:
        if time.monotonic() > end:
            raise TimeUp(f"{appended} of {count} records are in the queue")
        worker.check()
        peak.sample()
        time.sleep(0.5)


def _appended(status_port: int) -> int:
    """How many records the queue has been given; 0 while nobody answers."""
    try:
        return int(json.loads(get(status_port, "/ledger") or b"{}").get("appended", 0))
    except ValueError:
        return 0


def _drain(worker: AtWork, sink: SinkControl, peak: PeakMemory, count: int) -> None:
    """Wait until the sink has all records."""

    def look() -> None:
        worker.check()
        peak.sample()

    sink.wait_for(count, 60 + SECS_PER_MILLION * count / 1e6, look)
