"""The harness's side of the sink: starts it, resets it, waits for counts."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from bench.sink import ARRIVAL

POLL_SECS = 0.02


class TimeUp(Exception):
    """The records did not all come in time. The run counts as failed."""


class SinkControl:
    """A connection to a running sink. Counts are cheap to ask for; ids and arrivals are for afterwards."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._connection = HTTPConnection("127.0.0.1", port, timeout=60)

    def _ask(self, method: str, order: str) -> bytes:
        self._connection.request(method, f"/_bench/{order}")
        response = self._connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(f"the sink refused {order}")
        return body

    def reset(self) -> None:
        """Forget what came and accept bulks."""
        self._ask("PUT", "release")
        self._ask("PUT", "reset")

    def hold(self) -> None:
        """Refuse bulks with 503 from now on."""
        self._ask("PUT", "hold")

    def release(self) -> None:
        """Accept bulks again."""
        self._ask("PUT", "release")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def counts(self) -> dict[str, int]:
        """``records``, ``bulks``, ``body_bytes`` and ``raw_bytes`` so far."""
        counts: dict[str, int] = json.loads(self._ask("GET", "count"))
        return counts

    def ids(self) -> bytes:
        """The request ids of all records so far, eight bytes each, joined."""
        return self._ask("GET", "ids")

    def arrivals(self) -> list[tuple[int, int]]:
        """When each bulk came (ns since the epoch) and how many records it had, in the order of ``ids``."""
        return [(at, n) for at, n in ARRIVAL.iter_unpack(self._ask("GET", "arrivals"))]

    def wait_for(self, records: int, within_secs: float, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Wait until that many records have come, calling ``meanwhile`` at every look.

        Raises:
            TimeUp: they have not come within ``within_secs``.
        """
        end = time.monotonic() + within_secs
        while (got := self.counts()["records"]) < records:
            meanwhile()
            if time.monotonic() > end:
                raise TimeUp(f"{got} of {records} records came within {within_secs:.0f} s")
            time.sleep(POLL_SECS)


@contextmanager
def sink(log: Path) -> Iterator[SinkControl]:
    """A sink in a process of its own, ended on the way out. It also ends by itself when the harness dies."""
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.sink"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    try:
        if process.stdout is None or process.stdin is None:
            raise RuntimeError("the sink has no pipes")
        control = SinkControl(int(process.stdout.readline()))
        with contextlib.closing(control):
            yield control
    finally:
        process.communicate()
