"""What the delivery loop relies on in the outputs ``stdout`` and ``ndjson``."""

import asyncio
import os
import resource
from pathlib import Path

import pytest

from agent.delivery.contract import Outcome
from agent.errors import Retryable
from agent.outputs.ndjson.config import NdjsonConfig
from agent.outputs.ndjson.file import LineFile
from agent.outputs.ndjson.output import NdjsonOutput
from agent.outputs.stdout.config import StdoutConfig
from agent.outputs.stdout.output import StdoutOutput
from tests.fakes.batches import batch_of

ODD = rb'{"n":1.1099999999999999, "u":"caf\u00e9 \ud83d"}'


def send_to_file(path: Path, *batches: list[bytes], max_bytes: int = 1024, keep: int = 2) -> None:
    """Send batches to the output ``ndjson``."""

    async def talk() -> None:
        async with NdjsonOutput(NdjsonConfig(path=path, max_bytes=max_bytes, keep=keep)) as output:
            assert output.id == "ndjson"
            assert output.ordered
            assert output.rescue("id", b"{}", "reason") is None
            for documents in batches:
                assert await output.send(batch_of(documents)) == Outcome()
            await output.make_durable()

    asyncio.run(talk())


def test_file_holds_documents_as_they_were_one_a_line(tmp_path: Path) -> None:
    """Not a byte differs, the folder is made, and the next start goes on behind what is there."""
    path = tmp_path / "new" / "out.ndjson"
    send_to_file(path, [b'{"a":1}', ODD])
    send_to_file(path, [b'{"a":2}'])
    assert path.read_bytes().split(b"\n") == [b'{"a":1}', ODD, b'{"a":2}', b""]


@pytest.mark.parametrize(
    ("left", "kept"),
    [
        (b"", b""),
        (b'{"a":1}\n', b'{"a":1}\n'),
        (b'{"a":1}\n{"b"', b'{"a":1}\n'),
        (b'{"a"', b""),
        (b"{}\n" + b"x" * 200_000, b"{}\n"),
        (b"x" * 200_000, b""),
    ],
)
def test_torn_last_line_is_cut_off(tmp_path: Path, left: bytes, kept: bytes) -> None:
    """What a crash left of a line is removed, so that the next line is whole."""
    path = tmp_path / "out.ndjson"
    path.write_bytes(left)
    send_to_file(path, [b'{"c":3}'])
    assert path.read_bytes() == kept + b'{"c":3}\n'


def test_full_files_are_renamed_and_the_oldest_go(tmp_path: Path) -> None:
    """Batches stay together; ``keep`` full files remain beside the one that is written."""
    path = tmp_path / "out.ndjson"
    send_to_file(path, *([b'"%s"' % (name * 600)] for name in (b"a", b"b", b"c", b"d")))
    contents = {file.name: file.read_bytes()[1:2] for file in tmp_path.iterdir()}
    assert contents == {"out.ndjson": b"d", "out.ndjson.1": b"c", "out.ndjson.2": b"b"}


def test_no_full_file_is_kept_when_none_is_asked_for(tmp_path: Path) -> None:
    """``keep: 0`` begins the file anew."""
    send_to_file(tmp_path / "out.ndjson", [b'"%s"' % (b"a" * 900)], [b'"b"', b'"%s"' % (b"c" * 900)], keep=0)
    assert [file.name for file in tmp_path.iterdir()] == ["out.ndjson"]
    assert (tmp_path / "out.ndjson").read_bytes().startswith(b'"b"\n')


def test_file_that_someone_renames_is_begun_anew(tmp_path: Path) -> None:
    """A log rotation of the host's works without telling us."""
    path = tmp_path / "out.ndjson"

    async def talk() -> None:
        async with NdjsonOutput(NdjsonConfig(path=path)) as output:
            await output.send(batch_of([b'"a"']))
            path.rename(tmp_path / "renamed")
            await output.send(batch_of([b'"b"']))

    asyncio.run(talk())
    assert (tmp_path / "renamed").read_bytes() == b'"a"\n'
    assert path.read_bytes() == b'"b"\n'


def test_batch_that_does_not_fit_leaves_nothing_behind(tmp_path: Path) -> None:
    """A disk that fills up in the middle of a batch: it is retryable, and no part of it stays."""
    path = tmp_path / "out.ndjson"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    async def talk() -> None:
        async with NdjsonOutput(NdjsonConfig(path=path)) as output:
            await output.send(batch_of([b'"a"']))
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
            try:
                with pytest.raises(Retryable, match="cannot be written"):
                    await output.send(batch_of([b'"%s"' % (b"b" * 2000)]))
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            assert path.read_bytes() == b'"a"\n'
            await output.send(batch_of([b'"c"']))

    asyncio.run(talk())
    assert path.read_bytes() == b'"a"\n"c"\n'


def test_file_can_be_closed_twice_and_synced_unopened(tmp_path: Path) -> None:
    """Nothing was written: nothing to sync, nothing to close, no file."""
    file = LineFile(tmp_path / "out.ndjson", max_bytes=1024, keep=1)
    file.sync()
    file.close()
    file.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "problem"),
    [("out", None), ("new/out", None), ("folder", "is not a file"), ("file/out", "is not a folder")],
)
def test_check_of_the_file_writes_nothing(tmp_path: Path, path: str, problem: str | None) -> None:
    """It says what stands in the way, if anything does."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"")
    problems = asyncio.run(NdjsonOutput(NdjsonConfig(path=tmp_path / path)).check())
    assert len(problems) == (problem is not None)
    assert all(problem is not None and problem in sentence for sentence in problems)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder"]


def printed(documents: list[bytes], *, pretty: bool) -> bytes:
    """What the output ``stdout`` writes to a pipe."""

    async def talk() -> None:
        async with StdoutOutput(StdoutConfig(pretty=pretty), write) as output:
            assert output.id == "stdout"
            assert output.ordered
            assert await output.check() == []
            assert output.rescue("id", b"{}", "reason") is None
            assert await output.send(batch_of(documents)) == Outcome()

    read, write = os.pipe()
    try:
        asyncio.run(talk())
        return os.read(read, 65536)
    finally:
        os.close(read)
        os.close(write)


def test_standard_output_gets_documents_as_they_were_one_a_line() -> None:
    """Not a byte differs."""
    assert printed([b'{"a":1}', ODD], pretty=False) == b'{"a":1}\n' + ODD + b"\n"


def test_pretty_documents_are_indented_and_values_untouched() -> None:
    """For reading; a document that cannot be indented is shown as it is."""
    assert (
        printed([b'{"n":1.1099999999999999}', ODD], pretty=True) == b'{\n  "n": 1.1099999999999999\n}\n' + ODD + b"\n"
    )


def test_closed_standard_output_is_retryable() -> None:
    """Nobody reads: the records stay in the queue."""
    read, write = os.pipe()
    os.close(read)

    async def talk() -> None:
        async with StdoutOutput(StdoutConfig(), write) as output:
            with pytest.raises(Retryable, match="standard output cannot be written"):
                await output.send(batch_of([b"{}"]))

    try:
        asyncio.run(talk())
    finally:
        os.close(write)


def test_check_says_that_there_is_no_standard_output() -> None:
    """A descriptor with nothing behind it is a problem before anything is sent."""
    problems = asyncio.run(StdoutOutput(StdoutConfig(), descriptor=1_000_000).check())
    assert problems == ["Standard output cannot be written: Bad file descriptor."]
