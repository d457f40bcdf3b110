"""The folder of parts: what is stored comes back, stays within its limits, and survives damage and trouble."""

import json
import os
import resource
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.errors import ConfigError, Refused, Retryable
from agent.outputs.local.part import MAX_BLOCK_RECORDS, VERSION
from agent.outputs.local.reader import parts
from agent.outputs.local.store import PARTS, Store, folder_problem
from tests.unit.local.stored import ROOM, Clock, everything, fill, found, record, store_at

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
TEXTS = JSON.map(json.dumps).map(str.encode) | st.binary(max_size=200).map(lambda raw: raw.replace(b"\n", b""))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)  # it syncs to a disk
@given(batches=st.lists(st.lists(TEXTS, min_size=1, max_size=6), min_size=1, max_size=5))
def test_documents_come_back_as_the_bytes_they_were(tmp_path: Path, batches: list[list[bytes]]) -> None:
    """Whatever the text of a document is (escapes, half surrogates, huge numbers, no JSON), it is not altered."""
    shutil.rmtree(tmp_path)
    with store_at(tmp_path) as store:
        for number, documents in enumerate(batches):
            assert store.append(documents, b"%d" % number)
        assert everything(tmp_path) == [document for documents in batches for document in documents]
    assert everything(tmp_path) == [document for documents in batches for document in documents]


def test_cursor_is_that_of_the_last_batch(tmp_path: Path) -> None:
    """A new store has no cursor; then it is always that of the last batch, also after the store was closed."""
    with store_at(tmp_path) as store:
        assert store.cursor() is None
        store.append([record()], b"one")
        store.append([record()], b"two")
        assert store.cursor() == b"two"
    with store_at(tmp_path) as store:
        assert store.cursor() == b"two"


def test_batch_and_its_cursor_are_one_transaction(tmp_path: Path) -> None:
    """However many blocks a batch has, its log shows one commit: there is no moment with records and without cursor."""
    with store_at(tmp_path) as store:
        store.append([record("first")], b"0")
        before = commits(parts(tmp_path)[0])
        store.append([record(f"m{n}") for n in range(2 * MAX_BLOCK_RECORDS)], b"1")
        assert commits(parts(tmp_path)[0]) == before + 1


def commits(part: Path) -> int:
    """Commits in a part's write-ahead log: frames whose header gives the database's size (sqlite.org/fileformat)."""
    log = part.with_name(part.name + "-wal").read_bytes()
    head, frame_head, page = 32, 24, int.from_bytes(log[8:12])
    return sum(log[at + 4 : at + 8] != bytes(4) for at in range(head, len(log), frame_head + page))


def test_batch_sent_again_is_not_stored_again(tmp_path: Path) -> None:
    """A batch whose cursor is the stored one is there already."""
    with store_at(tmp_path) as store:
        assert store.append([record("a")], b"one")
        assert not store.append([record("a")], b"one")
    with store_at(tmp_path) as store:
        assert not store.append([record("a")], b"one")
        assert store.counts.stored == 0
    assert len(everything(tmp_path)) == 1


def test_batch_without_a_cursor_keeps_the_last(tmp_path: Path) -> None:
    """A part of a batch has no cursor of its own; the stored one stays."""
    with store_at(tmp_path) as store:
        store.append([record("a")], b"one")
        assert store.append([record("b")], b"")
        assert store.append([record("c")], b"")
        assert store.cursor() == b"one"
    assert len(everything(tmp_path)) == 3


def test_a_document_with_a_line_end_is_refused(tmp_path: Path) -> None:
    """It would come back as two; nothing of its batch is stored."""
    with store_at(tmp_path) as store:
        with pytest.raises(Refused):
            store.append([record("a"), b'{"message":\n"b"}'], b"one")
        assert store.cursor() is None
    assert everything(tmp_path) == []


def test_batches_larger_than_a_block_keep_their_order(tmp_path: Path) -> None:
    """Blocks end at a number of records or bytes; order and words hold across them."""
    small = [record(f"small{n}") for n in range(2 * MAX_BLOCK_RECORDS + 1)]
    large = [record(f"large{n}", fields__pad="x" * 100_000) for n in range(8)]
    fill(tmp_path, small + large)
    assert everything(tmp_path) == small + large
    assert found(tmp_path, "", newest_first=True) == (small + large)[::-1]
    assert found(tmp_path, f"small{MAX_BLOCK_RECORDS}") == [small[MAX_BLOCK_RECORDS]]
    assert found(tmp_path, "large7") == [large[7]]


def test_stored_records_are_seen_at_once_by_readers(tmp_path: Path) -> None:
    """A search beside the writing agent sees every batch that was stored, and no reader stops the writer."""
    with store_at(tmp_path) as store:
        store.append([record("a")], b"one")
        with closing(sqlite3.connect(parts(tmp_path)[0])) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM blocks").fetchone()
            store.append([record("b")], b"two")
            assert len(everything(tmp_path)) == 2
    assert len(everything(tmp_path)) == 2


def test_closed_store_is_one_file_and_its_lock(tmp_path: Path) -> None:
    """After a clean end nothing is left in a log: the file can be copied or read from a read-only disk."""
    fill(tmp_path, [record()])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "part-00000001.db"]


def test_second_writer_is_turned_away(tmp_path: Path) -> None:
    """Two agents with one store are a mistake in the configuration."""
    with store_at(tmp_path), pytest.raises(ConfigError, match="Another agent writes"), store_at(tmp_path):
        pass
    with store_at(tmp_path):
        pass


def test_file_in_the_place_of_the_folder_is_a_mistake(tmp_path: Path) -> None:
    """A path that is a file, or lies below one, is said so before anything is written."""
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file", tmp_path / "file" / "store"):
        assert "is a file" in (folder_problem(folder) or "")
        with pytest.raises(ConfigError, match="is a file"), store_at(folder):
            pass
    assert folder_problem(tmp_path / "new" / "store") is None
    assert not (tmp_path / "new").exists()


# Limits.


def test_store_keeps_within_its_room_and_keeps_the_newest(tmp_path: Path) -> None:
    """Many times its room is stored: the files never take much more, the oldest records go, the newest stay."""
    noise = iter(range(10**9))

    def batch() -> list[bytes]:
        return [record(f"m{next(noise)}", fields__noise=os.urandom(2000).hex()) for _ in range(200)]

    stored: list[bytes] = []
    most = 0
    with store_at(tmp_path) as store:
        for number in range(100):
            documents = batch()
            stored += documents
            store.append(documents, b"%d" % number)
            most = max(most, sum(path.stat().st_size for path in tmp_path.iterdir()))
        assert store.counts.removed > 0
        kept = everything(tmp_path)
        assert kept == stored[-len(kept) :]
        assert store.counts.removed == len(stored) - len(kept)
    part_bytes = ROOM // PARTS
    assert ROOM - 4 * part_bytes < most < ROOM + 2 * part_bytes


def test_records_go_when_they_are_too_old(tmp_path: Path) -> None:
    """A record stays for its time and goes at most a sixteenth of it later, though nothing new arrives."""
    clock = Clock()
    with Store(tmp_path, max_bytes=ROOM, max_age_secs=1600, clock=clock) as store:
        for hour in range(4):
            store.append([record(f"m{hour}")], b"%d" % hour)
            clock.secs += 101
        store.retain()
        assert len(everything(tmp_path)) == 4
        clock.secs = 1600
        store.retain()
        assert len(everything(tmp_path)) == 4
        clock.secs = 1601
        store.retain()
        assert everything(tmp_path) == [record(f"m{hour}") for hour in (1, 2, 3)]
        clock.secs = 5000
        store.retain()
        assert everything(tmp_path) == []
        assert store.cursor() == b"3"
        assert store.counts.removed == 4
    with store_at(tmp_path) as store:
        assert store.cursor() == b"3"


def test_an_empty_part_is_not_replaced_for_its_age(tmp_path: Path) -> None:
    """A silent model costs nothing: no parts are made while no records come."""
    clock = Clock()
    with Store(tmp_path, max_bytes=ROOM, max_age_secs=100, clock=clock) as store:
        store.cursor()
        clock.secs = 10_000
        store.retain()
        assert [path.name for path in parts(tmp_path)] == ["part-00000001.db"]


# Damage.


def cut_to_nothing(path: Path) -> None:
    path.write_bytes(b"")


def cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def overwrite_head(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(os.urandom(100))


def zero_first_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(4096))


def raise_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")


def become_another_application(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE state (cursor)")


def lose_a_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE state")


@pytest.mark.parametrize(
    "damage",
    [
        cut_to_nothing,
        cut_in_half,
        overwrite_head,
        zero_first_page,
        raise_version,
        become_another_application,
        lose_a_table,
    ],
)
def test_damaged_part_is_set_aside_and_the_store_goes_on(
    tmp_path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """The file is kept under another name, an ERROR says so, and new records are stored; other parts are as they
    were.
    """
    clock = Clock()
    with Store(tmp_path, max_bytes=ROOM, max_age_secs=1600, clock=clock) as store:
        store.append([record("old")], b"old")
        store.append([record("new")], b"new")
        clock.secs = 101
        store.append([record(f"lost{n}", fields__noise=os.urandom(500).hex()) for n in range(500)], b"lost")
    damage(parts(tmp_path)[-1])
    with store_at(tmp_path) as store:
        assert store.cursor() == b"new"
        assert store.counts.set_aside == 1
        store.append([record("more")], b"more")
    assert everything(tmp_path) == [record("old"), record("new"), record("more")]
    assert (tmp_path / "damaged-00000002.db").exists()
    assert [entry.levelname for entry in caplog.records] == ["ERROR"]


def test_store_of_one_damaged_part_begins_anew(tmp_path: Path) -> None:
    """With no readable part there is no cursor: the queue decides where to go on. The number is not used again."""
    fill(tmp_path, [record("lost")], b"lost")
    overwrite_head(parts(tmp_path)[0])
    with store_at(tmp_path) as store:
        assert store.cursor() is None
        store.append([record("more")], b"more")
    assert everything(tmp_path) == [record("more")]
    assert sorted(path.name for path in tmp_path.glob("*.db")) == ["damaged-00000001.db", "part-00000002.db"]


def test_damage_met_while_writing_sets_the_part_aside(tmp_path: Path) -> None:
    """The batch that met it can be sent again and is stored in a new part, which goes on behind the last cursor."""
    with store_at(tmp_path) as store:
        store.append([record("lost")], b"one")
        with closing(sqlite3.connect(parts(tmp_path)[0])) as db, db:
            db.execute("DELETE FROM words_data")
        with pytest.raises(Retryable, match="malformed"):
            store.append([record("more")], b"two")
        assert store.counts.set_aside == 1
        assert store.cursor() == b"one"
        assert store.append([record("more")], b"two")
    assert everything(tmp_path) == [record("more")]


def test_damaged_block_costs_only_itself(tmp_path: Path) -> None:
    """A block whose checksum does not hold is left out and told; its neighbours are found."""
    with store_at(tmp_path) as store:
        for n in range(3):
            store.append([record(f"m{n}")], b"%d" % n)
    with closing(sqlite3.connect(parts(tmp_path)[0])) as db, db:
        body = bytearray(db.execute("SELECT body FROM blocks WHERE id = 2").fetchone()[0])
        body[len(body) // 2] ^= 0x40
        db.execute("UPDATE blocks SET body = ? WHERE id = 2", (bytes(body),))
    with pytest.raises(AssertionError, match="block 2 is damaged"):
        everything(tmp_path)
    assert found(tmp_path, "m0") == [record("m0")]
    assert found(tmp_path, "m2") == [record("m2")]


def test_leftovers_of_a_crash_are_removed(tmp_path: Path) -> None:
    """A part that was never finished, and the log of one that is gone, are cleared away; what is not ours stays."""
    fill(tmp_path, [record()], b"one")
    for name in ("part-00000002.new", "part-00000002.new-journal", "part-00000000.db-wal", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    with store_at(tmp_path) as store:
        assert store.cursor() == b"one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "notes.txt", "part-00000001.db"]


def test_damaged_files_are_removed_before_records_when_room_is_short(tmp_path: Path) -> None:
    """What was set aside counts as room the store takes, and goes first."""
    fill(tmp_path, [record("old")], b"old")
    (tmp_path / "damaged-00000009.db").write_bytes(bytes(ROOM))
    with store_at(tmp_path) as store:
        store.append([record("new")], b"new")
        store.retain()
    assert everything(tmp_path) == [record("old"), record("new")]
    assert not (tmp_path / "damaged-00000009.db").exists()


# Trouble that passes.


def test_full_disk_is_waited_for(tmp_path: Path) -> None:
    """What does not fit is not stored and can be sent again; when there is room it is stored, once."""
    documents = [record(f"m{n}", fields__noise=os.urandom(1000).hex()) for n in range(2000)]
    with store_at(tmp_path) as store:
        store.append([record("first")], b"one")
        with files_no_larger_than(512 * 1024):
            for _ in range(2):
                with pytest.raises(Retryable):
                    store.append(documents, b"two")
        assert store.cursor() == b"one"
        assert store.append(documents, b"two")
        assert store.counts.set_aside == 0
    assert everything(tmp_path) == [record("first"), *documents]


def test_disk_that_is_full_from_the_start_is_waited_for(tmp_path: Path) -> None:
    """Not even the first part can be made: that is trouble to be retried, not the end."""
    with store_at(tmp_path) as store:
        with files_no_larger_than(1024), pytest.raises(Retryable):
            store.append([record()], b"one")
        assert store.append([record()], b"one")
    assert len(everything(tmp_path)) == 1


def test_part_that_someone_locks_is_waited_for(tmp_path: Path) -> None:
    """Someone with a transaction open on the file is waited for, and nothing is stored twice."""
    with store_at(tmp_path) as store:
        store.append([record("a")], b"one")
        with closing(sqlite3.connect(parts(tmp_path)[0], isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Retryable, match="locked"):
                store.append([record("b")], b"two")
        assert store.append([record("b")], b"two")
    assert len(everything(tmp_path)) == 2


def test_store_removed_while_it_is_written_begins_anew(tmp_path: Path) -> None:
    """Whoever removes the files under a running agent gets a new store, which goes on behind the last cursor."""
    folder = tmp_path / "store"
    with store_at(folder) as store:
        store.append([record("a")], b"one")
        shutil.rmtree(folder)
        assert not store.append([record("a")], b"one")
        assert store.append([record("b")], b"two")
        assert everything(folder) == [record("b")]


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """Writes behind ``size`` fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
