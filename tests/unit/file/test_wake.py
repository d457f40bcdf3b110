"""Being told of changes, by the kernel itself."""

import asyncio
from pathlib import Path

from agent.inputs.file.wake import Changes, folder_watch
from tests.unit.file.following import Kept, config, following

MAX_QUEUED = Path("/proc/sys/fs/inotify/max_queued_events")


def test_changes_that_the_kernel_had_no_room_for_call_for_a_look(tmp_path: Path) -> None:
    """What was told and then dropped is not known: names are said to have changed, so that every size is looked at."""

    async def story() -> None:
        with folder_watch("file", asyncio.Event()) as watch:
            watch.watch([str(tmp_path)])
            with (tmp_path / "a").open("ab", 0) as a, (tmp_path / "b").open("ab", 0) as b:
                assert watch.take() == Changes(set(), names=True)
                for _ in range(int(MAX_QUEUED.read_text()) // 2 - 1):  # by turns: equal events in a row are merged
                    a.write(b".")
                    b.write(b".")
                assert watch.take() == Changes({a.name, b.name}, names=False)
                for _ in range(int(MAX_QUEUED.read_text()) // 2 + 1):
                    a.write(b".")
                    b.write(b".")
                (tmp_path / "b").with_name("c").touch()
                assert watch.take() == Changes({a.name, b.name}, names=True)

    asyncio.run(story())


def test_a_folder_put_in_the_place_of_another_is_watched(tmp_path: Path) -> None:
    """A path that means another folder than before is told of as before, without waiting for the next scan."""
    folder = tmp_path / "logs"
    folder.mkdir()

    async def story() -> None:
        kept = Kept()
        async with following(config(folder, scan_interval=3600), kept):
            (folder / "a.log").write_bytes(b"1\n")
            await kept.wait_for_lines(b"1")
            folder.rename(tmp_path / "away")
            folder.mkdir()
            (folder / "a.log").write_bytes(b"2\n")
            await kept.wait_for_lines(b"1", b"2")
            with (folder / "a.log").open("ab") as log:
                log.write(b"3\n")
            await kept.wait_for_lines(b"1", b"2", b"3")

    asyncio.run(story())


def test_a_folder_that_is_gone_from_its_path_is_not_told_of(tmp_path: Path) -> None:
    """Its watch is given back when another folder has its place."""

    async def story() -> None:
        with folder_watch("file", asyncio.Event()) as watch:
            folder, away = tmp_path / "logs", tmp_path / "away"
            folder.mkdir()
            assert watch.watch([str(folder)])
            assert not watch.watch([str(folder)])
            folder.rename(away)
            folder.mkdir()
            assert watch.watch([str(folder)])
            watch.take()
            (away / "a.log").touch()
            assert watch.take() == Changes(set(), names=False)
            (folder / "a.log").touch()
            assert watch.take() == Changes(set(), names=True)

    asyncio.run(story())
