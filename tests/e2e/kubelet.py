"""A container's log as containerd and the kubelet keep it: two streams, long lines in pieces, rotated by rename, the
one before compressed. Run as a process of its own.

    python -m tests.e2e.kubelet LINK EVENTS ROTATIONS SECONDS

``LINK`` is the link as in ``/var/log/containers``; it is made, with a pod's folder beside its own. Each event carries
its number: a line of JSON longer than a piece on ``stdout``, and on ``stderr`` a logged exception with its traceback,
the records of both interleaved.
"""

import gzip
import json
import os
import random
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

PIECE = 16 * 1024
STEP = 20
KEEP = 3
POD = "ml_scorer-0_1b4e28ba-2fa1-11d2-883f-0016d3cca427"


def records(content: str, stream: str) -> Iterator[bytes]:
    """A line as the runtime writes it."""
    data = content.encode()
    pieces = [data[at : at + PIECE] for at in range(0, len(data), PIECE)] or [b""]
    for number, piece in enumerate(pieces, start=1):
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "789Z")
        yield b"%b %b %b %b\n" % (now.encode(), stream.encode(), b"F" if number == len(pieces) else b"P", piece)


def line(n: int) -> str:
    """Event ``n`` of standard output."""
    return json.dumps(
        {"message": "prediction served", "n": n, "inputs": {"text": "x" * (PIECE * 2 if n % 50 == 0 else 50)}}
    )


def failure(n: int) -> str:
    """Event ``n`` of standard error."""
    return (
        f"2026-11-22 10:00:00,123 - scorer - ERROR - failed {n}\n"
        "Traceback (most recent call last):\n"
        '  File "/srv/serve.py", line 12, in predict\n'
        "    return cache[key]\n"
        f"KeyError: {n}\n"
        "\n"
        "During handling of the above exception, another exception occurred:\n"
        "\n"
        "Traceback (most recent call last):\n"
        '  File "/srv/serve.py", line 14, in predict\n'
        f"RuntimeError: no {n}"
    )


def interleaved(first: list[bytes], second: list[bytes], rng: random.Random) -> Iterator[bytes]:
    """Both, each in its order."""
    while first and second:
        yield (first if rng.random() < 0.5 else second).pop(0)
    yield from first
    yield from second


def rotate(log: Path, number: int) -> None:
    """As ``pkg/kubelet/logs/container_log_manager.go`` does it."""
    rotated = sorted(log.parent.glob("0.log.2*"))
    for old in rotated[: max(0, len(rotated) - KEEP)]:
        old.unlink()
    for plain in rotated[-KEEP:]:
        if plain.suffix != ".gz":
            temporary = plain.with_name(plain.name + ".tmp")
            temporary.write_bytes(gzip.compress(plain.read_bytes()))
            temporary.rename(plain.with_name(plain.name + ".gz"))
            plain.unlink()
    log.rename(log.with_name(f"0.log.20261122-{101500 + number}"))


def write(link: Path, events: int, rotations: int, seconds: float) -> None:
    """Write the events, ``events`` of each kind."""
    rng = random.Random(events)
    log = link.parent.parent / "pods" / POD / "server" / "0.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(os.path.relpath(log, link.parent))
    writer = log.open("ab", buffering=0)
    every = events // (rotations + 1) + 1
    began = time.monotonic()
    for n in range(events):
        if n and n % every == 0:
            rotate(log, n)
            writer.close()
            writer = log.open("ab", buffering=0)
        stderr = [record for text in failure(n).split("\n") for record in records(text, "stderr")]
        for record in interleaved(list(records(line(n), "stdout")), stderr, rng):
            writer.write(record)
        if n % STEP == 0:
            time.sleep(max(0.0, began + seconds * n / events - time.monotonic()))
    writer.close()


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
