"""What ``modeltail search`` finds, and how it ends."""

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.cli import ANSWER_IS_NO, DONE, UNUSABLE, WRONG_USE, main
from agent.outputs.local.reader import parts
from agent.outputs.local.store import PARTS, Store
from tests.unit.local.stored import ROOM, Clock, fill, found, record, shown, store_at

COMMAND = (sys.executable, "-m", "agent", "search")
ROOT = Path(__file__).parents[3]
PATIENCE_SECS = 30

MINUTE_US = 60 * 1_000_000
TEN_US = 1_795_341_600_000_000
RECORDS = [
    record("prediction served", time="2026-11-22T10:00:00Z", log={"level": "info"}, ml={"outputs": {"score": 0.1}}),
    record("cache miss", time="2026-11-22T10:01:00Z", log={"level": "warning"}),
    record("prediction failed", time="2026-11-22T10:02:00Z", log={"level": "error"}, error={"type": "ValueError"}),
    record("prediction served", time="2026-11-22T10:03:00Z", log={"level": "info"}, ml={"outputs": {"score": 0.9}}),
    record("no time here", time=None, log={"level": "critical"}),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one record a batch."""
    path = tmp_path_factory.mktemp("store")
    with store_at(path) as store:
        for number, document in enumerate(RECORDS):
            store.append([document], b"%d" % number)
    return path


@pytest.mark.parametrize(
    ("query", "indexes"),
    [
        ("", [0, 1, 2, 3, 4]),
        ("prediction", [0, 2, 3]),
        ("PREDICTION served", [0, 3]),
        ('"cache miss"', [1]),
        ('"miss cache"', []),
        ("pred* -failed", [0, 3]),
        ("-prediction", [1, 4]),
        ("level>=warning", [1, 2, 4]),
        ("prediction level:error", [2]),
        ("prediction score>0.5", [3]),
        ("error:valueerror", [2]),
        ("error.type:ValueError", [2]),
        ("error.type:valueerror", []),
        ("level:debug", []),
        ("served -score<0.5", [3]),
    ],
)
@pytest.mark.parametrize("newest_first", [False, True])
def test_query_finds(folder: Path, query: str, indexes: list[int], newest_first: bool) -> None:
    """Words and fields together, forwards and backwards."""
    expected = [RECORDS[i] for i in indexes]
    assert found(folder, query, newest_first=newest_first) == (expected[::-1] if newest_first else expected)


@pytest.mark.parametrize(
    ("since", "until", "indexes"),
    [(1, None, [1, 2, 3]), (None, 1, [0, 1]), (1, 2, [1, 2]), (4, None, []), (None, -1, [])],
)
def test_times_bound_what_is_found(folder: Path, since: int | None, until: int | None, indexes: list[int]) -> None:
    """Both ends count; a record without a readable time lies in no span."""
    since_us = None if since is None else TEN_US + since * MINUTE_US
    until_us = None if until is None else TEN_US + until * MINUTE_US
    assert found(folder, "", since_us=since_us, until_us=until_us) == [RECORDS[i] for i in indexes]


def test_limit_keeps_the_newest_and_shows_the_oldest_of_them_first(folder: Path) -> None:
    """As a log is read: downwards, ending with the last."""
    assert shown(folder, "prediction", limit=2, as_json=True).encode().splitlines() == [RECORDS[2], RECORDS[3]]
    assert shown(folder, "", limit=0, as_json=True).encode().splitlines() == RECORDS


def test_json_is_the_document_as_stored(tmp_path: Path) -> None:
    """Not a byte differs, so that what reads it sees what was shipped."""
    odd = b'{"message":"m", "n":1.1099999999999999,"u":"caf\\u00e9","big":123456789012345678901234567890}'
    fill(tmp_path, [odd])
    assert shown(tmp_path, as_json=True).encode() == odd + b"\n"


def test_records_of_one_moment_are_ordered_by_time(tmp_path: Path) -> None:
    """Two sources stored one after the other are shown interleaved."""
    fill(
        tmp_path,
        [record(f"a{n}", time=f"2026-11-22T10:00:0{n}Z") for n in (1, 3)] + [record("b", time="2026-11-22T10:00:02Z")],
    )
    assert [line.rsplit(" ", 1)[1] for line in shown(tmp_path).splitlines()] == ["a1", "b", "a3"]


def test_unreadable_part_is_told_and_the_others_are_searched(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One broken file does not hide the rest."""
    fill(tmp_path, [record("fine")])
    (tmp_path / "part-00000000.db").write_bytes(os.urandom(9000))
    assert status_of("fine", "--store", str(tmp_path)) == DONE
    out, err = capfd.readouterr()
    assert "fine" in out
    assert "part-00000000.db cannot be read in full" in err


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["served"], DONE, ""),
        ([], DONE, ""),
        (["-prediction"], DONE, ""),
        (["-feature", "-level:error", "-healthz", "-cache"], DONE, ""),
        (["level:error", "prediction"], DONE, ""),
        (["nothing_like_it"], ANSWER_IS_NO, ""),
        (["served", "--until", "2026-11-01"], ANSWER_IS_NO, ""),
        (["level:eror"], WRONG_USE, "did you mean error?"),
        (["x", "--since", "yesterday"], WRONG_USE, "is not a time"),
        (["x", "--since", "1h", "--until", "2h"], WRONG_USE, "nothing lies between"),
        (["x", "--limit", "-1"], WRONG_USE, "Invalid value for '--limit'"),
        (["x", "--store", "/nonexistent/store"], UNUSABLE, "There is no store in /nonexistent/store"),
    ],
)
def test_exit_status_says_how_it_went(
    folder: Path, arguments: list[str], status: int, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Found, nothing found, a question that cannot be understood, no store."""
    assert status_of("--store", str(folder), *arguments) == status
    out, err = capfd.readouterr()
    assert said in err
    assert bool(out) == (status == DONE)


CONFIGURATION = """
model: {{name: m}}
inputs: [{{type: stdin}}]
outputs: [{{type: {type}, path: "{path}"}}]
"""


def test_store_is_the_one_of_the_configuration(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In a folder with an agent.yaml no option is needed; a configuration without a store, or a broken one, is told."""
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "agent.yaml"
    config.write_text(CONFIGURATION.format(type="local", path=folder))
    assert status_of("cache") == DONE
    assert "cache miss" in capfd.readouterr().out
    config.write_text(CONFIGURATION.format(type="ndjson", path=folder / "out"))
    assert status_of("cache") == UNUSABLE
    assert "has no output of type `local`" in capfd.readouterr().err
    config.write_text("modle: {}")
    assert status_of("cache") == UNUSABLE
    assert "--store says it" in capfd.readouterr().err
    assert status_of("cache", "--store", str(folder)) == DONE


def test_pipe_gets_plain_text_and_terminal_gets_colours(folder: Path) -> None:
    """The same search, written to a pipe and to a pseudo-terminal."""
    piped = run_search("level:error", "--store", str(folder))
    assert b"\x1b" not in piped
    assert b"prediction failed" in piped
    master, slave = pty.openpty()
    with subprocess.Popen([*COMMAND, "level:error", "--store", str(folder)], cwd=ROOT, stdout=slave) as process:
        os.close(slave)
        written = read_until(master, b"failed")
        assert process.wait(PATIENCE_SECS) == 0
    os.close(master)
    assert b"\x1b[31mERROR" in written


def test_reader_that_goes_away_ends_the_search_quietly(tmp_path: Path) -> None:
    """``| head -1`` is no error."""
    fill(tmp_path, [record(f"m{n}", fields__pad="x" * 1000) for n in range(2000)])
    with subprocess.Popen(
        [*COMMAND, "--limit", "0", "--json", "--store", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(PATIENCE_SECS) == 0


def test_follow_shows_each_new_record_once(tmp_path: Path) -> None:
    """What is there, then what is stored from now on, across parts, each once and in order."""
    clock = Clock()
    with Store(tmp_path, max_bytes=ROOM, max_age_secs=2 * PARTS, clock=clock) as store:
        store.append([record("word 0"), record("other")], b"0")
        with following(["word", "--follow", "--json", "--store", str(tmp_path)]) as out:
            lines = [read_line(out)]
            for n in range(1, 6):
                store.append([record(f"word {n}"), record("other")], b"%d" % n)
                lines.append(read_line(out))
                clock.secs += 1
    assert [json.loads(line)["message"] for line in lines] == [f"word {n}" for n in range(6)]
    assert len(parts(tmp_path)) == 3


def test_follow_begins_with_a_store_that_is_still_empty(tmp_path: Path) -> None:
    """The agent may be started after the search."""
    with following(["--follow", "--json", "--store", str(tmp_path)]) as out:
        fill(tmp_path, [record("first")])
        assert json.loads(read_line(out))["message"] == "first"


def status_of(*arguments: str) -> int:
    """The exit status of ``modeltail search``."""
    with pytest.raises(SystemExit) as ended:
        main(["search", *arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def run_search(*arguments: str) -> bytes:
    """What a search in a process of its own writes to a pipe."""
    return subprocess.run(
        [*COMMAND, *arguments], cwd=ROOT, check=True, capture_output=True, timeout=PATIENCE_SECS
    ).stdout


@contextmanager
def following(arguments: Sequence[str]) -> Iterator[int]:
    """A search that goes on, as a descriptor of its output; ended like with Ctrl-C, which it must take well."""
    with subprocess.Popen([*COMMAND, *arguments], cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.fileno()
        except BaseException:
            process.kill()
            raise
        process.send_signal(2)
        assert process.wait(PATIENCE_SECS) == 0


def read_until(descriptor: int, wanted: bytes) -> bytes:
    """Read until ``wanted`` has come."""
    deadline = time.monotonic() + PATIENCE_SECS
    seen = b""
    while wanted not in seen:
        assert select.select([descriptor], [], [], max(0, deadline - time.monotonic()))[0], seen
        seen += os.read(descriptor, 4096)
    return seen


def read_line(descriptor: int) -> bytes:
    """Read one line, byte by byte, so that nothing is left in a buffer of ours."""
    deadline = time.monotonic() + PATIENCE_SECS
    line = b""
    while not line.endswith(b"\n"):
        assert select.select([descriptor], [], [], max(0, deadline - time.monotonic()))[0], line
        line += os.read(descriptor, 1)
    return line
