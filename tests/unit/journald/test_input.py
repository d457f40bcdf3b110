"""What is particular to the journal: journalctl can end, entries can go, and there are other machines."""

import asyncio
import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from agent.errors import ConfigError
from agent.inputs.contract import Stop
from agent.inputs.journald.child import command
from agent.inputs.journald.config import JournaldConfig
from agent.inputs.journald.state import SOURCE, encode_position
from agent.record import Batch
from tests.servers.journal import BOOT, Journal
from tests.unit.journald.reading import PATIENCE_SECS, Reading, journald_input, read_all

OTHER_BOOT = BOOT[::-1]
THIS_BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """An empty journal."""
    return Journal(tmp_path / "journal")


@pytest.fixture
def system_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    """A journal that journalctl takes for this machine's own: its folder lies, for journalctl alone, where that is."""
    real = shutil.which("journalctl")
    if os.geteuid() != 0 or real is None or not Path("/var/log/journal").is_dir():
        pytest.skip("needs root, to mount a journal where the machine's own lies")
    folder = tmp_path / "journal" / Path("/etc/machine-id").read_text().strip()
    folder.parent.mkdir()
    shim = tmp_path / "bin" / "journalctl"
    shim.parent.mkdir()
    mount = f"mount --bind {folder.parent} /var/log/journal"
    shim.write_text(f'#!/bin/sh\nexec unshare -m sh -c \'{mount} && exec {real} "$@"\' journalctl "$@"\n')
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim.parent}:{os.environ['PATH']}")
    return Journal(folder)


def message(text: str, **fields: str) -> dict[str, bytes]:
    """An entry."""
    return {"MESSAGE": text.encode(), **{name: value.encode() for name, value in fields.items()}}


def children() -> list[int]:
    """The processes this one has started and not yet buried."""
    return [
        int(pid)
        for task in os.listdir("/proc/self/task")
        for pid in Path(f"/proc/self/task/{task}/children").read_text().split()
    ]


def is_journalctl(pid: int) -> bool:
    """Whether a process has become journalctl."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip() == "journalctl"
    return False


async def killed(reading: Reading) -> None:
    """Kill the journalctl that follows."""
    await reading.wait_for(lambda: reading.component._at_end and any(map(is_journalctl, children())))
    for pid in filter(is_journalctl, children()):
        os.kill(pid, signal.SIGKILL)


def test_killed_journalctl_is_started_again(journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is lost or read twice, and it is said."""

    async def scenario() -> list[bytes]:
        async with Reading(journald_input(journal.folder)) as reading:
            for n in range(5):
                journal.write(message(f"{n}"), message(f"{n}."))
                await killed(reading)
            await reading.wait_for(lambda: len(reading.lines) == 10)
        return reading.lines

    assert asyncio.run(scenario()) == [text for n in range(5) for text in (b"%d" % n, b"%d." % n)]
    assert "journalctl ended; it is started again behind the last entry that was read" in caplog.messages


def test_input_killed_anywhere_resumes_exactly(journal: Journal) -> None:
    """Cancelled at any batch, with its positions kept as the queue keeps them: every entry once, in order."""
    for n in range(20):
        journal.write(*(message(f"{n}-{i}") for i in range(300)))
    expected = [b"%d-%d" % (n, i) for n in range(20) for i in range(300)]

    async def scenario() -> list[bytes]:
        lines: list[bytes] = []
        positions: dict[str, bytes] = {}
        while len(lines) < len(expected):
            async with asyncio.timeout(30):
                reading = Reading(journald_input(journal.folder, positions))
                with suppress(asyncio.CancelledError):
                    async with reading:
                        await reading.wait_for(lambda: reading.batches)  # noqa: B023
                        reading.task.cancel()
                lines += reading.lines
                positions |= reading.positions
        return lines

    assert asyncio.run(scenario()) == expected


def test_folder_is_followed_whoever_writes_into_it(journal: Journal) -> None:
    """Entries of several machines and boots among one another, of which journalctl alone would follow one."""

    async def scenario() -> list[bytes]:
        async with Reading(journald_input(journal.folder)) as reading:
            for n in range(6):
                journal.write(message(f"{n}"), boot=(BOOT, OTHER_BOOT)[n % 2])
                await reading.wait_for(lambda: len(reading.lines) > n)  # noqa: B023
        return reading.lines

    assert asyncio.run(scenario()) == [b"0", b"1", b"2", b"3", b"4", b"5"]


def test_last_words_of_an_earlier_boot_are_read(system_journal: Journal) -> None:
    """What a machine wrote before it went down is not forgotten because it came up again."""
    system_journal.write(message("one"), boot=OTHER_BOOT)
    before = read_all(None)
    assert before.lines == [b"one"]
    system_journal.write(message("last words"), boot=OTHER_BOOT)
    system_journal.write(message("hello"), boot=THIS_BOOT)

    async def scenario() -> list[bytes]:
        async with Reading(journald_input(None, before.positions)) as reading:
            for n in range(2, 6):
                await reading.wait_for(lambda: len(reading.lines) >= n)  # noqa: B023
                system_journal.write(message(f"{n}"), boot=THIS_BOOT)
        return reading.lines

    assert asyncio.run(scenario()) == [b"last words", b"hello", b"2", b"3", b"4", b"5"]


def test_rotated_away_entry_is_said_and_nothing_more_is_skipped(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    """With the last entry read gone, the next one that is there is read, not skipped in its stead."""
    journal.write(message("one"), message("two"))
    before = read_all(journal.folder)
    gone = journal.file
    journal.rotate()
    journal.write(message("three"), message("four"))
    gone.unlink()
    assert read_all(journal.folder, before.positions).lines == [b"three", b"four"]
    assert [text for text in caplog.messages if "not in the journal any more" in text]


def test_rotated_journal_is_read_on(journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    """A new file beside the old one is no trouble."""
    journal.write(message("one"))
    before = read_all(journal.folder)
    journal.write(message("two"))
    journal.rotate()
    journal.write(message("three"))
    assert read_all(journal.folder, before.positions).lines == [b"two", b"three"]
    assert caplog.messages == []


@pytest.mark.parametrize("state", [encode_position("garbage"), b"\xff"])
def test_unusable_position_is_said_and_costs_nothing(
    journal: Journal, state: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It goes on from the oldest entry: repeated rather than lost."""
    journal.write(message("one"))

    async def scenario() -> list[bytes]:
        async with Reading(journald_input(journal.folder, {SOURCE: state})) as reading:
            await reading.wait_for(lambda: reading.lines)
        return reading.lines

    assert asyncio.run(scenario()) == [b"one"]
    assert [text for text in caplog.messages if text.startswith("The position in the journal cannot be")]


def test_tail_begins_behind_what_is_there(journal: Journal) -> None:
    """And that is a position of its own: what comes while nobody reads is read later."""
    journal.write(message("old"), message("older"))
    first = read_all(journal.folder, start="tail")
    assert first.lines == []
    journal.write(message("new"))
    assert read_all(journal.folder, first.positions, start="tail").lines == [b"new"]


def test_tail_of_an_empty_journal_is_its_head(journal: Journal) -> None:
    """The first entry ever is no old one."""

    async def scenario() -> list[bytes]:
        async with Reading(journald_input(journal.folder, start="tail")) as reading:
            await reading.wait_for(lambda: reading.component._at_end)
            journal.write(message("first"))
            await reading.wait_for(lambda: reading.lines)
        return reading.lines

    assert asyncio.run(scenario()) == [b"first"]


def test_folder_that_comes_later_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Said once, tried again, read whole."""

    async def scenario() -> list[bytes]:
        async with Reading(journald_input(tmp_path / "journal")) as reading:
            await reading.wait_for(lambda: caplog.messages)
            for _ in range(100):
                await asyncio.sleep(0.001)
            Journal(tmp_path / "journal").write(message("one"))
            await reading.wait_for(lambda: reading.lines)
        return reading.lines

    assert asyncio.run(scenario()) == [b"one"]
    assert len([text for text in caplog.messages if text.startswith("journalctl ended")]) == 1


def test_missing_journalctl_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The input does not pretend to run."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"inputs\.in: .*journalctl, which cannot be run: No such file"):
        read_all(tmp_path)


def test_units_and_matches_choose_entries(journal: Journal) -> None:
    """As journalctl chooses them: alternatives within a field, all of several fields."""
    journal.write(
        message("a", _SYSTEMD_UNIT="a.service", COLOUR="red"),
        message("b", _SYSTEMD_UNIT="b.service", COLOUR="red"),
        message("c", _SYSTEMD_UNIT="a.service", COLOUR="blue"),
        message("d", _SYSTEMD_UNIT="a.service", COLOUR="green"),
    )
    assert read_all(journal.folder, units=["a.service"]).lines == [b"a", b"c", b"d"]
    assert read_all(journal.folder, matches=["COLOUR=red", "COLOUR=blue"]).lines == [b"a", b"b", b"c"]
    assert read_all(journal.folder, units=["a"], matches=["COLOUR=red", "COLOUR=blue"]).lines == [b"a", b"c"]


def test_binary_and_large_messages_come_through(journal: Journal) -> None:
    """Any bytes, and more of them than journalctl shows by itself."""
    texts = [bytes(range(256)), b"x" * 200_000, b"a\nb", "café".encode()]
    journal.write(*({"MESSAGE": text} for text in texts))
    assert read_all(journal.folder).lines == texts


def test_entry_beyond_all_limits_is_counted_and_passed(journal: Journal) -> None:
    """It does not stop what comes behind it."""
    journal.write(message("before"), message("huge", BLOB="x" * 600_000), message("behind"))
    reading = read_all(journal.folder, max_line=64)
    assert reading.lines == [b"before", b"behind"]
    assert sum(batch.counts.dropped.get("too_long", 0) for batch in reading.batches) == 1
    assert read_all(journal.folder, reading.positions, max_line=64).batches == []


def test_idle_when_quiet_at_the_end(journal: Journal) -> None:
    """In a job: busy while there is something to read or it has just come, idle afterwards, and after a restart with
    nothing new too."""

    async def scenario(positions: dict[str, bytes]) -> Reading:
        async with Reading(journald_input(journal.folder, positions)) as reading:
            await reading.wait_for(lambda: reading.component._at_end)
            assert await reading.component.activity(1000) == "busy"
            assert await reading.component.activity(0) == "idle"
        return reading

    journal.write(message("one"))
    assert asyncio.run(scenario(asyncio.run(scenario({})).positions)).lines == []


def test_journalctl_waits_while_the_queue_has_no_room(journal: Journal) -> None:
    """A long journal is not read into memory: journalctl cannot get rid of it, and so does not end."""
    journal.write(*({"MESSAGE": b"%d " % n + b"x" * 20_000} for n in range(300)))

    async def scenario() -> int:
        room = asyncio.Event()
        waiting: list[Batch] = []
        stop = Stop()
        stop.ask()

        async def emit(batch: Batch) -> None:
            waiting.append(batch)
            await room.wait()

        task = asyncio.create_task(journald_input(journal.folder).run(emit, stop))
        async with asyncio.timeout(PATIENCE_SECS):
            while not waiting:
                await asyncio.sleep(0.001)
            for _ in range(200):
                await asyncio.sleep(0.001)
            assert len(waiting) == 1
            assert any(map(is_journalctl, children()))
            room.set()
            await task
        return sum(len(batch.lines) for batch in waiting)

    assert asyncio.run(scenario()) == 300


def test_nothing_is_left_running(journal: Journal) -> None:
    """When it has stopped there is no journalctl any more."""
    journal.write(message("one"))

    async def scenario() -> None:
        async with Reading(journald_input(journal.folder)) as reading:
            await reading.wait_for(lambda: any(map(is_journalctl, children())))

    asyncio.run(scenario())
    assert not any(map(is_journalctl, children()))


def test_patterns_of_units_are_refused() -> None:
    """journalctl would look them up once, and never see a unit that comes later."""
    config = JournaldConfig(units=["a.service", "model@*"])
    assert [setting for setting, _ in config.problems()] == ["units[1]"]


def test_system_journal_is_followed_without_other_machines() -> None:
    """Only a folder that was asked for is read whoever wrote it."""
    assert command(JournaldConfig(), "c", follow=True) == [
        "--quiet", "--no-pager", "--output=json", "--all", "--follow", "--no-tail", "--cursor=c"
    ]  # fmt: skip
