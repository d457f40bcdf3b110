"""The outputs that write on this machine: the embedded store, and a file of documents."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from agent.outputs.local.part import STATE, connect
from bench.outputs.peer import Other, Peer


@contextmanager
def _store(folder: Path) -> Iterator[Other]:
    path = folder / "store"
    yield Other({"type": "local", "path": str(path), "max_bytes": "16GiB"}, lambda: sum(map(_records, _parts(path))))


def _parts(path: Path) -> Iterator[Path]:
    return path.glob("part-*.db")


def _records(part: Path) -> int:
    with closing(connect(part, "ro", timeout_secs=10)) as db:
        _, records, _, _ = db.execute(STATE).fetchone()
    return int(records)


@contextmanager
def _file(folder: Path) -> Iterator[Other]:
    path = folder / "out.ndjson"
    yield Other({"type": "ndjson", "path": str(path), "max_bytes": "64GiB"}, lambda: _lines(path))


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))


PEERS = (Peer("local", _store), Peer("ndjson", _file))
