"""What Beats send to, as far as it takes to count: frames of the Lumberjack protocol, version 2 (``PROTOCOL.md`` of
elastic/logstash-forwarder, as ``go-lumber`` has it).

``python -m bench.outputs.lumberjack`` prints its port and serves until its standard input ends. A connection that
begins with ``?`` is answered with the number of events so far.
"""

import asyncio
import socket
import struct
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.outputs.counting import served
from bench.outputs.peer import Other

_NUMBER = struct.Struct(">I")
_EVENT = struct.Struct(">II")


def events_in(frames: bytes) -> tuple[int, int]:
    """How many events there are in inflated frames, and the number of the last one."""
    events = number = at = 0
    while at < len(frames):
        if frames[at : at + 2] != b"2J":
            raise ValueError(f"a frame of the kind {frames[at : at + 2]!r}")
        number, size = _EVENT.unpack_from(frames, at + 2)
        at += 2 + _EVENT.size + size
        events += 1
    return events, number


class Counter:
    """Takes connections; a window is acknowledged when all of it has come."""

    def __init__(self) -> None:
        self.events = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        window = came = 0
        try:
            while True:
                kind = await reader.readexactly(1)
                if kind == b"?":
                    writer.write(b"%d\n" % self.events)
                    return
                kind = await reader.readexactly(1)
                if kind == b"W":
                    (window,), came = _NUMBER.unpack(await reader.readexactly(4)), 0
                    continue
                if kind == b"C":
                    (size,) = _NUMBER.unpack(await reader.readexactly(4))
                    events, number = events_in(zlib.decompress(await reader.readexactly(size)))
                else:
                    number, size = _EVENT.unpack(await reader.readexactly(_EVENT.size))
                    await reader.readexactly(size)
                    events = 1
                came += events
                self.events += events
                if came >= window:
                    writer.write(b"2A" + _NUMBER.pack(number))
        except asyncio.IncompleteReadError:
            return
        finally:
            writer.close()


def ask(port: int) -> int:
    """How many events came so far."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection, connection.makefile("rwb") as file:
        file.write(b"?")
        file.flush()
        return int(file.readline())


@contextmanager
def lumberjack(folder: Path, config: dict[str, Any]) -> Iterator[Other]:
    """A counter in a process of its own, as the only one of ``hosts``."""
    with served("bench.outputs.lumberjack", folder) as port:
        yield Other({**config, "hosts": [f"127.0.0.1:{port}"]}, lambda: ask(port))


async def _main() -> None:
    server = await asyncio.start_server(Counter().serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.buffer.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(_main())
