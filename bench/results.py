"""What a benchmark found, as it lies in ``bench/result.json``: bytes, seconds and per cent of one core, run by run."""

import statistics
from collections.abc import Callable, Sequence

import msgspec


class Machine(msgspec.Struct, frozen=True):
    """Where it was measured."""

    cpu: str
    cores: int
    memory_bytes: int
    kernel: str
    filesystem: str


class Run(msgspec.Struct, frozen=True):
    """One contender, one time through the file. ``idle_percent`` is measured after the last record was delivered."""

    records: int
    user_secs: float
    system_secs: float
    wall_secs: float
    peak_rss_bytes: int
    idle_percent: float
    missing: int
    extra: int
    body_bytes: int
    threads_secs: list[float]

    @property
    def cpu_per_million(self) -> float:
        """CPU-seconds per million records, start of the program included."""
        return (self.user_secs + self.system_secs) * 1e6 / self.records

    @property
    def exact(self) -> bool:
        """Whether every record came once."""
        return self.missing == 0 and self.extra == 0


class Start(msgspec.Struct, frozen=True):
    """Times from the start of the process.

    ``ready_secs`` is when it said that it was ready, if it ever does; ``first_record_secs`` when the sink had a record.
    """

    ready_secs: float | None
    first_record_secs: float


class Trickle(msgspec.Struct, frozen=True):
    """A writer at a steady, low rate. Delays run from the write to the arrival of the whole request at the sink."""

    records: int
    cpu_percent: float
    peak_rss_bytes: int
    median_delay_secs: float
    p99_delay_secs: float
    queue_bytes_per_record: float
    missing: int
    extra: int


class Contestant(msgspec.Struct, frozen=True):
    """Everything measured of one contender."""

    description: str
    runs: list[Run]
    starts: list[Start]
    trickle: Trickle | None = None

    def median(self, of: Callable[[Run], float]) -> float:
        """Median of one number over the runs."""
        return statistics.median(map(of, self.runs))

    @property
    def failed(self) -> list[str]:
        """Which runs lost or doubled records."""
        runs = [f"run {i + 1}: {r.missing} missing, {r.extra} too many" for i, r in enumerate(self.runs) if not r.exact]
        if self.trickle and (self.trickle.missing or self.trickle.extra):
            runs.append(f"trickle: {self.trickle.missing} missing, {self.trickle.extra} too many")
        return runs


class Result(msgspec.Struct, frozen=True):
    """A whole benchmark. ``contestants`` is keyed by name; ``input_sha256`` is shortened."""

    date: str
    machine: Machine
    input_records: int
    input_bytes: int
    input_sha256: str
    contestants: dict[str, Contestant]


class Backlog(msgspec.Struct, frozen=True):
    """Memory with a backlog and dead letters beside memory without, the same records both times.

    ``queued`` is when everything waits behind a dead server, ``restarted`` after another start on that queue,
    ``without`` when everything was delivered as it came; the peaks are the kernel's. ``restart_secs`` is from that
    start until it was ready.
    """

    records: int
    input_bytes: int
    queue_bytes: int
    dead_letters: int
    queued_rss_bytes: int
    restarted_rss_bytes: int
    without_rss_bytes: int
    filling_peak_rss_bytes: int
    draining_peak_rss_bytes: int
    without_peak_rss_bytes: int
    restart_secs: float
    drain_secs: float
    missing: int
    extra: int


def percentile(values: Sequence[float], fraction: float) -> float:
    """The value below which that fraction of the values lies (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))]
