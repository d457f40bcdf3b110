"""A hop measured, and whether every record came through it."""

from collections.abc import Iterable
from dataclasses import dataclass

from bench.records import missing_and_extra
from bench.sink import REQUEST_ID

HEADING = f"{'hop':<30}{'records':>10}{'records/s':>12}{'CPU s/M':>10}{'broker CPU s/M':>17}"


@dataclass(frozen=True, slots=True)
class Hop:
    """``secs`` run from the start of the work to the last record's end. ``broker_secs`` are the CPU-seconds of the
    broker, None where a stand-in has its place: they say nothing of what it stands for."""

    name: str
    records: int
    secs: float
    cpu_secs: float
    broker_secs: float | None = None

    def row(self) -> str:
        """As a row of the table."""
        millions = self.records / 1e6
        broker = "–" if self.broker_secs is None else f"{self.broker_secs / millions:.2f}"
        return (
            f"{self.name:<30}{self.records:>10}{self.records / self.secs:>12.0f}{self.cpu_secs / millions:>10.2f}"
            f"{broker:>17}"
        )


def ids_in(texts: Iterable[bytes]) -> bytes:
    """The request ids of the documents in these texts, eight bytes each, joined."""
    return b"".join(found for text in texts for found in REQUEST_ID.findall(text))


def check(place: str, count: int, ids: bytes) -> None:
    """End everything, with status 1, unless each of so many records is there once."""
    missing, extra = missing_and_extra(count, ids)
    if missing or extra:
        raise SystemExit(f"{place}: {missing} of {count} records are missing, {extra} came twice")
