"""The dead-letter store: what was put is there, once, until it leaves by a counted way."""

import asyncio
import errno
import os
import stat
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.delivery.config import DeliveryConfig
from agent.delivery.contract import Outcome
from agent.delivery.dead_letters.config import DeadLettersConfig
from agent.delivery.dead_letters.folder import DeadLetterCounts, LetterFolder, dead_letter_counts
from agent.delivery.dead_letters.letter import DeadLetter, dead_letter, letter_of, letters_in, line_of
from agent.delivery.dead_letters.replay import purge
from agent.delivery.dead_letters.selection import chosen_by
from agent.delivery.dead_letters.store import DeadLetters
from agent.delivery.dead_letters.summary import summarise
from agent.delivery.loop import DeliveryLoop
from agent.ledger import make_ledger
from agent.queue.config import QueueConfig
from agent.queue.queue import open_queue
from tests.fakes.output import FakeOutput
from tests.queue.entries import RUN, entry
from tests.queue.entries import ids as queue_ids

YEAR_AGO = "2024-11-22T10:00:00.000Z"


def letter(n: int, *, size: int = 0, time: str | None = None) -> DeadLetter:
    """The n-th refused record, its document of about ``size`` bytes."""
    made = dead_letter("es", f"run-{n:06d}", "s-default", "mapping: 'x'", 2, b'{"n":%d,"pad":"%s"}' % (n, b"x" * size))
    made.time = time or made.time
    return made


def put(folder: Path, *letters: DeadLetter, **config: Any) -> None:
    """Put them as an agent that was started for it."""
    DeadLetters(folder, DeadLettersConfig(**config)).put(letters)


def kept(folder: Path) -> list[str]:
    """The ids in the store, in order, as whoever reads it finds them."""
    return [found.id for found in letters_in(LetterFolder(folder).lines())]


def ids(*numbers: int) -> list[str]:
    """The ids of these letters."""
    return [f"run-{n:06d}" for n in numbers]


def make_old(folder: Path) -> None:
    """Let every file have been written a year ago."""
    for path in LetterFolder(folder).files():
        os.utime(path, (1732269600, 1732269600))


def killed_at(moment: int, folder: Path, do: Callable[[], object]) -> bool:
    """Do something in a process that ends without a word before its ``moment``-th write, rename or delete in the
    folder. Whether it got to its end."""
    child = os.fork()
    if child:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, 9)
        return status == 0
    left = moment

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        changes = event in ("os.rename", "os.remove") or (event == "open" and arguments[2] & os.O_ACCMODE)
        if changes and str(arguments[0]).startswith(str(folder)):
            left -= 1
            if left == 0:
                os._exit(9)

    try:
        sys.addaudithook(watch)
        do()
        os._exit(0)
    finally:
        os._exit(1)


def test_letters_are_there_in_order_with_what_was_refused(tmp_path: Path) -> None:
    """Id, stream, reason, attempts and the document byte for byte."""
    put(tmp_path / "es", letter(1), letter(2))
    put(tmp_path / "es", letter(3))
    (first, *_) = letters_in(LetterFolder(tmp_path / "es").lines())
    assert (first.output, first.id, first.stream) == ("es", "run-000001", "s-default")
    assert (first.reason, first.attempts, first.original) == ("mapping: 'x'", 2, b'{"n":1,"pad":""}')
    assert kept(tmp_path / "es") == ids(1, 2, 3)


_documents = [b'{"a":1,\n"b":2}', b'{"a":"\\ud800"}', b'{"a":NaN}', b'"x"', b"{", b""]


@given(
    document=st.binary(max_size=200) | st.sampled_from(_documents),
    reason=st.text(max_size=50) | st.sampled_from(["\ud800", "a\nb"]),
)
def test_any_document_and_reason_is_one_line(document: bytes, reason: str) -> None:
    """Whatever was refused, its letter is one line that reads back; valid text comes back byte for byte."""
    line = line_of(dead_letter("es", "r-1", "s", reason, 1, document))
    assert line.count(b"\n") == 1
    back = letter_of(line)
    assert back is not None
    assert back.original == document or back.original == document.decode("utf-8", "replace").encode()


def test_document_nested_too_deep_to_be_read_is_kept_as_text() -> None:
    """The reader's limit does not cost the letter, and the text is the same when it is sent again."""
    deep = b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    back = letter_of(line_of(dead_letter("es", "r-1", "s", "too deep", 1, deep)))
    assert back is not None
    assert back.original == deep


def test_files_are_for_owner_and_group_only(tmp_path: Path) -> None:
    """Letters hold what users sent the model."""
    old = os.umask(0)
    try:
        put(tmp_path / "queue" / "dead-letters" / "es", letter(1))
    finally:
        os.umask(old)
    folder = tmp_path / "queue" / "dead-letters" / "es"
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(folder.parent.stat().st_mode) == 0o750
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o640}


@pytest.mark.parametrize("cut", range(1, 40))
def test_torn_last_line_hides_no_other_letter(tmp_path: Path, cut: int) -> None:
    """A line cut anywhere by a crash is passed over; what was before it and what comes after it is there."""
    put(tmp_path, letter(1), letter(2))
    (path,) = LetterFolder(tmp_path).files()
    size = path.stat().st_size
    os.truncate(path, size - cut * (len(line_of(letter(2))) - 1) // 40 - 1)
    put(tmp_path, letter(3), letter(4))
    assert kept(tmp_path) == ids(1, 3, 4)
    assert dead_letter_counts(tmp_path).kept == 3


def test_agent_killed_at_any_moment_loses_no_letter(tmp_path: Path) -> None:
    """Before every write, rename and delete of a store that expires while it grows: a letter whose `put` returned is
    there or counted as expired, and once the others came again, so is every letter, once."""
    done, moment = False, 0
    while not done:
        moment += 1
        folder, said = tmp_path / f"moment-{moment}", tmp_path / f"said-{moment}"
        said.write_text("")

        def put_all(folder: Path = folder, said: Path = said) -> None:
            agent = DeadLetters(folder, DeadLettersConfig(max_bytes=3000))
            for n in range(8):
                agent.put([letter(n, size=600)])
                with said.open("a") as file:
                    file.write(f"{n}\n")

        done = killed_at(moment, folder, put_all)
        sure = [int(n) for n in said.read_text().split()]
        counts = dead_letter_counts(folder)
        assert len(sure) <= counts.kept + counts.expired <= len(sure) + 1
        again = DeadLetters(folder, DeadLettersConfig(max_bytes=3000))
        for n in range(len(sure), 8):
            again.put([letter(n, size=600)])
        counts = dead_letter_counts(folder)
        assert counts.kept + counts.expired == 8
        assert kept(folder) == ids(*range(8 - counts.kept, 8))
    assert moment > 40


@pytest.mark.parametrize("tail", [b"\0" * 5000, b"\xff\xfe\n", b"{}\n", b"[]", b"\n\n"])
def test_garbage_behind_the_letters_hides_none(tmp_path: Path, tail: bytes) -> None:
    """Zeros and junk that a power cut left are passed over."""
    put(tmp_path, letter(1))
    (path,) = LetterFolder(tmp_path).files()
    with path.open("ab") as file:
        file.write(tail)
    put(tmp_path, letter(2))
    assert kept(tmp_path) == ids(1, 2)


def test_letter_put_again_after_a_crash_is_there_once(tmp_path: Path) -> None:
    """An agent killed between the letter and its cursor refuses the record again after its start."""
    put(tmp_path, letter(1), letter(2))
    put(tmp_path, letter(2), letter(3))
    assert kept(tmp_path) == ids(1, 2, 3)
    assert dead_letter_counts(tmp_path).kept == 3


def test_size_limit_removes_the_oldest_and_counts_them(tmp_path: Path) -> None:
    """Room is bounded; put = kept + expired, whatever was deleted."""
    agent = DeadLetters(tmp_path, DeadLettersConfig(max_bytes=20_000))
    for n in range(200):
        agent.put([letter(n, size=500)])
    counts = dead_letter_counts(tmp_path)
    assert counts.bytes == sum(path.stat().st_size for path in LetterFolder(tmp_path).files()) <= 20_000
    assert 0 < counts.kept < 200
    assert counts.kept + counts.expired == 200
    assert kept(tmp_path) == ids(*range(200 - counts.kept, 200))


def test_age_bites_without_a_new_letter(tmp_path: Path) -> None:
    """The newest file goes too when it is old: looking is enough."""
    put(tmp_path, letter(1), letter(2))
    make_old(tmp_path)
    DeadLetters(tmp_path, DeadLettersConfig()).expire()
    assert dead_letter_counts(tmp_path) == DeadLetterCounts(expired=2)


def test_old_letter_is_not_kept_alive_by_new_ones(tmp_path: Path) -> None:
    """A trickle of letters does not share one file for ever: a file whose first letter is old gets no more."""
    put(tmp_path, letter(1, time=YEAR_AGO))
    make_old(tmp_path)
    put(tmp_path, letter(2))
    assert kept(tmp_path) == ids(2)
    assert dead_letter_counts(tmp_path).expired == 1


def test_number_is_never_given_twice(tmp_path: Path) -> None:
    """After everything expired, the next file has a new number."""
    put(tmp_path, letter(1))
    make_old(tmp_path)
    DeadLetters(tmp_path, DeadLettersConfig()).expire()
    put(tmp_path, letter(2))
    assert [path.name for path in LetterFolder(tmp_path).files()] == ["00000002.ndjson"]


@pytest.mark.parametrize("content", [None, b"", b"\0" * 4096, b"[1,2]", b'{"replayed":"x"}', b"\xff"])
def test_lost_counts_stop_nothing(tmp_path: Path, content: bytes | None) -> None:
    """Without its counts the store counts from nothing; letters are put, listed and expire as ever."""
    put(tmp_path, letter(1))
    make_old(tmp_path)
    DeadLetters(tmp_path, DeadLettersConfig()).expire()
    if content is None:
        (tmp_path / "counts.json").unlink()
    else:
        (tmp_path / "counts.json").write_bytes(content)
    put(tmp_path, letter(2, time=YEAR_AGO))
    assert dead_letter_counts(tmp_path).kept == 1
    make_old(tmp_path)
    put(tmp_path, letter(3))
    assert kept(tmp_path) == ids(3)
    assert dead_letter_counts(tmp_path).expired == 1


def test_full_disk_is_an_error_and_leaves_no_half_letter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk fills in the middle of a letter, nothing of it stays, and the next attempt is as the first."""
    put(tmp_path, letter(1))
    real = os.write
    left = [100]

    def write(handle: int, data: Any) -> int:
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        n = real(handle, bytes(data)[: left[0]])
        left[0] -= n
        return n

    agent = DeadLetters(tmp_path, DeadLettersConfig())
    monkeypatch.setattr(os, "write", write)
    for _ in range(3):
        left[0] = 100
        with pytest.raises(OSError, match="No space"):
            agent.put([letter(2, size=500)])
    assert kept(tmp_path) == ids(1)
    monkeypatch.undo()
    agent.put([letter(2, size=500)])
    assert kept(tmp_path) == ids(1, 2)
    assert [path.name for path in LetterFolder(tmp_path).files()] == ["00000001.ndjson"]


def test_letters_put_at_the_same_time_are_all_there(tmp_path: Path) -> None:
    """Several batches of one output may be refused at once."""
    agent = DeadLetters(tmp_path, DeadLettersConfig(max_bytes=100_000))
    firsts = (0, 100, 200, 300)

    def put_twenty(first: int) -> None:
        for n in range(first, first + 20):
            agent.put([letter(n)])

    threads = [threading.Thread(target=put_twenty, args=(first,)) for first in firsts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(kept(tmp_path)) == ids(*(first + i for first in firsts for i in range(20)))


def test_what_is_not_a_file_of_letters_is_left_alone(tmp_path: Path) -> None:
    """Folders, pipes and links that bear a letter file's name are neither read nor waited for."""
    put(tmp_path, letter(1))
    (tmp_path / "00000002.ndjson").mkdir()
    os.mkfifo(tmp_path / "00000003.ndjson")
    (tmp_path / "00000004.ndjson").symlink_to("/dev/zero")
    (tmp_path / "²x.ndjson").write_bytes(b"")
    put(tmp_path, letter(2))
    assert kept(tmp_path) == ids(1, 2)


def test_full_files_are_counted_without_being_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking for the numbers, as every scrape does, reads the newest file at most."""
    agent = DeadLetters(tmp_path, DeadLettersConfig(max_bytes=50_000))
    for n in range(30):
        agent.put([letter(n, size=500)])
    read: list[str] = []
    real = Path.open

    def opened(path: Path, *args: Any, **kwargs: Any) -> Any:
        read.append(path.name)
        return real(path, *args, **kwargs)

    files = [path.name for path in LetterFolder(tmp_path).files()]
    monkeypatch.setattr(Path, "open", opened)
    assert dead_letter_counts(tmp_path).kept == 30
    assert len(files) > 2
    assert [name for name in read if name in files] == files[-1:]


def test_looking_holds_one_letter_at_a_time(tmp_path: Path) -> None:
    """The memory that a list or a count takes does not grow with the letters, of which 20 MB are there."""
    agent = DeadLetters(tmp_path, DeadLettersConfig())
    for first in range(0, 2000, 100):
        agent.put([letter(n, size=10_000) for n in range(first, first + 100)])
    tracemalloc.start()
    try:
        assert summarise(LetterFolder(tmp_path)).counts.kept == 2000
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_records_stay_in_the_queue_while_letters_cannot_be_written(tmp_path: Path) -> None:
    """With no room for the letter the batch keeps its place, and the trouble is shown; once there is, each record has
    one fate."""
    loops: list[DeliveryLoop] = []
    shown: list[str | None] = []

    class FullAtFirst(DeadLetters):
        refusals = 3

        def put(self, letters: Iterable[DeadLetter]) -> None:
            shown.append(loops[0].state.trouble)
            if self.refusals:
                self.refusals -= 1
                raise OSError(errno.ENOSPC, "No space left on device")
            super().put(letters)

    async def main() -> None:
        async with asyncio.timeout(20), open_queue(QueueConfig(path=tmp_path / "queue", min_free=0), RUN) as queue:
            subscription = queue.subscribe("fake", from_oldest=True)
            output = FakeOutput([lambda batch: Outcome(rejected={4: "never"})], rescues=False)
            config = DeliveryConfig(backoff_initial=0.001, batch_age=0.0)
            store = FullAtFirst(tmp_path / "letters", DeadLettersConfig())
            loop = DeliveryLoop(output, queue, subscription, config, store)
            loops.append(loop)
            running = asyncio.create_task(loop.run())
            await queue.append(entry(1, 10), "block")
            while subscription.queued:
                assert not running.done(), running.result()
                await asyncio.sleep(0.001)  # the queue has no event for "empty"
            loop.finish()
            await running
            assert store.refusals == 0
            assert make_ledger(queue.counts, queue.total, queue.cursors).outputs["fake"].fates == {
                "delivered": 9,
                "dead_lettered": 1,
            }
            assert shown == [None, *["dead letters cannot be written: [Errno 28] No space left on device"] * 3]
            assert loop.state.trouble is None

    asyncio.run(main())
    assert kept(tmp_path / "letters") == [queue_ids(1, 10)[4]]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_makes_belongs_to_the_owner_of_the_folder(tmp_path: Path) -> None:
    """A command run by root does not take the store from the agent."""
    os.chown(tmp_path, 65534, 65534)
    folder = tmp_path / "dead-letters" / "es"
    put(folder, letter(1), letter(2))
    purge(LetterFolder(folder), chosen_by(ids=("run-000001",)))
    assert {path.stat().st_uid for path in (folder.parent, folder, *folder.iterdir())} == {65534}
