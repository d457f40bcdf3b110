"""`modeltail queue status` and `forget`, and what every command says of a folder it cannot work on."""

import asyncio
import json
import os
import shutil
from pathlib import Path

import pytest

from agent.delivery.dead_letters.letter import dead_letter, line_of
from agent.queue.queue import open_queue
from tests.queue.entries import RUN
from tests.queue.tool import config, fill, modeltail, segments, snapshot

LOOKING = ["status", "verify", "export"]
CHANGING = ["repair", "forget"]


def _queue(command: str, folder: Path, *arguments: str | Path) -> list[str | Path]:
    return ["queue", command, *(["out"] if command == "forget" else []), "--queue", folder, *arguments]


def test_status_shows_every_output_at_a_glance(tmp_path: Path) -> None:
    """How much is queued, how far behind, whether it is in use."""
    fill(tmp_path, done=2)
    ran = modeltail("queue", "status", "--queue", tmp_path)
    assert (ran.status, ran.err) == (0, "")
    assert "no agent is using it" in ran.out
    assert "36 records in its life; 1 source of known position" in ran.out
    assert "the oldest queued record is in a segment begun " in ran.out
    assert next(line.split() for line in ran.out.splitlines() if line.startswith("  out "))[:2] == ["out", "30"]


def test_status_knows_how_full_the_configured_queue_is(tmp_path: Path) -> None:
    """With the configuration, the size is set against `max_bytes`."""
    fill(tmp_path / "queue")
    agent = tmp_path / "agent.yaml"
    agent.write_text(
        f"inputs: [{{type: stdin}}]\noutputs: [{{type: stdout}}]\nqueue: {{path: {tmp_path}/queue, max_bytes: 32MiB}}\n"
    )
    assert " % of 32.0 MiB" in modeltail("queue", "status", "-c", agent).out


def test_check_says_what_waits_in_the_queue(tmp_path: Path) -> None:
    """A look at the configuration is a cheap look at its queue: nothing there, records waiting, damage."""
    agent = tmp_path / "agent.yaml"
    agent.write_text(f"inputs: [{{type: stdin}}]\noutputs: [{{type: stdout}}]\nqueue: {{path: {tmp_path}/queue}}\n")
    assert len(modeltail("check", "-c", agent).out.splitlines()) == 1
    fill(tmp_path / "queue", done=2)
    before = snapshot(tmp_path)
    assert modeltail("check", "-c", agent).out.splitlines()[1] == "In the queue there wait: 30 records for out."
    (tmp_path / "queue" / "cursor-torn").write_bytes(b"x")
    assert "1 file damaged, see `modeltail queue verify`" in modeltail("check", "-c", agent).out
    (tmp_path / "queue" / "cursor-torn").unlink()
    assert snapshot(tmp_path) == before


def test_status_as_json_adds_up(tmp_path: Path) -> None:
    """Machines get every segment, and the lag in bytes is what lies behind the cursor."""
    fill(tmp_path, done=2)
    found = json.loads(modeltail("queue", "status", "--queue", tmp_path, "--json").out)
    assert found["bytes"] == sum(segment["bytes"] for segment in found["segments"])
    assert [segment["name"] for segment in found["segments"]] == [path.name for path in segments(tmp_path)]
    assert found["outputs"]["out"]["queued"] + found["outputs"]["out"]["through_with"] == found["records"] == 36
    assert 0 < found["outputs"]["out"]["lag_bytes"] < found["bytes"]
    assert found["oldest_queued_ms"] == found["segments"][0]["begun_at_ms"] > 0


def test_status_tells_what_was_set_aside_and_what_was_refused(tmp_path: Path) -> None:
    """The folders beside the segments are counted too."""
    fill(tmp_path)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "x-0").write_bytes(bytes(2048))
    (tmp_path / "dead-letters" / "out").mkdir(parents=True)
    letters = [line_of(dead_letter("out", f"run-1-{i}", "test-default", "refused", 1, b"{}")) for i in range(2)]
    (tmp_path / "dead-letters" / "out" / "00000001.ndjson").write_bytes(b"".join(letters))
    out = modeltail("queue", "status", "--queue", tmp_path).out
    assert "set aside as damaged: 1 file, 2.0 KiB" in out
    assert "dead letters of out: 2" in out


def test_status_sees_a_running_agent(tmp_path: Path) -> None:
    """While the lock is held it says so, and the agent is none the worse."""
    fill(tmp_path)

    async def main() -> str:
        async with open_queue(config(tmp_path), RUN):
            return modeltail("queue", "status", "--queue", tmp_path).out

    assert "in use by a running agent" in asyncio.run(main())


@pytest.mark.parametrize("command", LOOKING)
def test_looking_changes_nothing(tmp_path: Path, command: str) -> None:
    """Not a byte of any file, and no new file, in a damaged queue either."""
    fill(tmp_path, done=2)
    damaged = segments(tmp_path)[0]
    damaged.write_bytes(damaged.read_bytes()[:-9])
    (tmp_path / "cursor-torn").write_bytes(b"x")
    before = snapshot(tmp_path)
    modeltail(*_queue(command, tmp_path))
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("command", CHANGING)
def test_queue_in_use_is_left_alone(tmp_path: Path, command: str) -> None:
    """While an agent holds the queue, nothing is written to it, and the command says what to do."""
    fill(tmp_path)

    async def main() -> None:
        async with open_queue(config(tmp_path), RUN):
            before = snapshot(tmp_path)
            ran = modeltail(*_queue(command, tmp_path))
            assert (ran.status, ran.out) == (1, "")
            assert "an agent is using the queue" in ran.err
            assert "stop it first" in ran.err
            assert snapshot(tmp_path) == before

    asyncio.run(main())


@pytest.mark.parametrize("command", [*LOOKING, *CHANGING])
def test_folder_that_is_no_queue_is_a_sentence(tmp_path: Path, command: str) -> None:
    """Nothing there, a file, or a folder of something else: one line, exit status 1, and nothing is made."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("x")
    for folder, sentence in (
        ("none", "there is no queue in"),
        ("file", "Not a directory"),
        ("other", "is not a queue"),
    ):
        ran = modeltail(*_queue(command, tmp_path / folder))
        assert (ran.status, ran.out) == (1, "")
        assert sentence in ran.err
        assert len(ran.err.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "notes.txt", "other"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not read")
@pytest.mark.parametrize("command", [*LOOKING, *CHANGING])
def test_queue_of_somebody_else_is_a_sentence(tmp_path: Path, command: str) -> None:
    """Who may list the folder but not read a segment is told so; it is not called damaged, and nothing is repaired."""
    fill(tmp_path)
    for path in tmp_path.iterdir():
        path.chmod(0o600)
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    before = snapshot(tmp_path)
    os.seteuid(65534)
    try:
        ran = modeltail(*_queue(command, tmp_path))
    finally:
        os.seteuid(0)
    if command == "status":
        assert "CURSOR NOT READABLE" in ran.out
    else:
        assert ran.status == 1
        assert "Permission denied" in ran.err
    assert snapshot(tmp_path) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_leaves_nothing_the_agent_cannot_open(tmp_path: Path) -> None:
    """What a repair by root makes belongs to the owner of the folder."""
    fill(tmp_path)
    damaged = segments(tmp_path)[0]
    data = bytearray(damaged.read_bytes())
    data[-9] ^= 1
    damaged.write_bytes(data)
    (tmp_path / "cursor-out").write_bytes(b"")
    (tmp_path / "lock").unlink()
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    for path in (tmp_path, *tmp_path.iterdir()):
        shutil.chown(path, 65534, 65534)
    assert modeltail("queue", "repair", "--queue", tmp_path).status == 0
    assert (tmp_path / "damaged").is_dir()
    assert (tmp_path / "lock").exists()
    assert {path.stat().st_uid for path in tmp_path.rglob("*")} == {65534}
    assert os.geteuid() == 0


def test_forgotten_output_holds_nothing_back(tmp_path: Path) -> None:
    """`forget` says how many records it lets go; forgetting again says that there is no such output."""
    fill(tmp_path, done=2)
    ran = modeltail("queue", "forget", "out", "--queue", tmp_path)
    assert (ran.status, ran.out) == (0, "out is forgotten, and with it what it had not finished: 30 records.\n")
    assert not (tmp_path / "cursor-out").exists()
    ran = modeltail("queue", "forget", "out", "--queue", tmp_path)
    assert (ran.status, ran.out) == (2, f"No output out is known in {tmp_path}; known: none.\n")


def test_configured_output_is_not_forgotten_by_mistake(tmp_path: Path) -> None:
    """Its records would never be sent; who wants that says so."""
    folder, file = tmp_path / "queue", tmp_path / "agent.yaml"
    fill(folder, done=2)
    parts = "inputs: [{type: stdin}]\noutputs: [{type: stdout, id: out}]"
    file.write_text(f"model: {{name: m}}\n{parts}\nqueue: {{path: {folder}}}\n")
    ran = modeltail("queue", "forget", "out", "-c", file)
    assert ran.status == 1
    assert "out is configured still" in ran.err
    assert (folder / "cursor-out").exists()
    assert modeltail("queue", "forget", "out", "-c", file, "--yes").status == 0
    assert not (folder / "cursor-out").exists()


def test_output_whose_cursor_is_not_readable_can_be_forgotten(tmp_path: Path) -> None:
    """It holds back as much as any other."""
    fill(tmp_path)
    (tmp_path / "cursor-out").write_bytes(b"")
    ran = modeltail("queue", "forget", "out", "--queue", tmp_path)
    assert ran.status == 0
    assert "out is forgotten" in ran.out
    assert not (tmp_path / "cursor-out").exists()


def test_forget_cannot_leave_the_folder(tmp_path: Path) -> None:
    """A name with a path in it is no output."""
    fill(tmp_path / "queue")
    (tmp_path / "precious").write_text("x")
    (tmp_path / "queue" / "cursor-x").mkdir()
    assert modeltail("queue", "forget", "x/../../precious", "--queue", tmp_path / "queue").status == 2
    assert (tmp_path / "precious").exists()


def _hostile(folder: Path) -> None:
    """A queue in whose folder lies everything that has no business there."""
    fill(folder)
    names = [f"{base:016x}-0000-{'ab' * 8}.seg" for base in range(1, 8)]
    (folder / names[0]).mkdir()
    os.mkfifo(folder / names[1])
    (folder / names[2]).symlink_to("/dev/zero")
    (folder / names[3]).symlink_to(names[3])
    (folder / names[4]).symlink_to("/nowhere")
    (folder / names[5]).symlink_to(folder)
    (folder / names[6]).write_bytes(b"")
    os.mkfifo(folder / "cursor-pipe")
    (folder / "cursor-folder").mkdir()
    (folder / "cursor-loop").symlink_to("cursor-loop")
    (folder / "cursor-").write_bytes(b"")
    (folder / "cursor-\x07\nred").write_bytes(b"")
    os.mkfifo(folder / "\x07.tmp")
    os.mkfifo(folder / "pipe")


@pytest.mark.parametrize("command", [*LOOKING, *CHANGING])
def test_hostile_folder_neither_hangs_nor_breaks_a_command(tmp_path: Path, command: str) -> None:
    """Pipes, folders, loops and devices named like files of ours: the command ends, and the records are not harmed."""
    _hostile(tmp_path)
    ran = modeltail(*_queue(command, tmp_path))
    assert ran.status in {0, 2}
    assert "\x07" not in ran.out + ran.err
    if command == "export":
        assert ran.out.count("\n") == 36


def test_hostile_folder_is_tidied_once(tmp_path: Path) -> None:
    """A repair moves all of it out of the way, touching nothing that a link leads to; a second one finds nothing, and
    the records are there."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"x")
    folder = tmp_path / "queue"
    _hostile(folder)
    (folder / f"{9:016x}-0000-{'cd' * 8}.seg").symlink_to(outside / "precious")
    assert modeltail("queue", "repair", "--queue", folder).status == 0
    assert modeltail("queue", "repair", "--queue", folder).out == "There is nothing to repair.\n"
    assert (outside / "precious").read_bytes() == b"x"
    ran = modeltail("queue", "verify", "--queue", folder)
    assert ran.status == 0, ran.out
    assert modeltail("queue", "export", "--queue", folder).out.count("\n") == 36


def test_ten_thousand_files_are_just_many(tmp_path: Path) -> None:
    """Empty segments and foreign files by the thousand: looked at, named, and the records are found."""
    fill(tmp_path)
    for number in range(2000):
        (tmp_path / f"{number:016x}-0001-{number:016x}.seg").touch()
    for number in range(8000):
        (tmp_path / f"foreign-{number}").touch()
    ran = modeltail("queue", "verify", "--queue", tmp_path)
    assert "36 records" in ran.out
    assert modeltail("queue", "status", "--queue", tmp_path).status == 0
