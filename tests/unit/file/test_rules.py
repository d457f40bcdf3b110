"""The rules of rotation and of path patterns, as tables."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.inputs.file.globs import Globs, path_matches
from agent.inputs.file.rotation import Member, is_rotation_suffix, oldest_first, path_before_rotation, to_be_read

ROTATED = [".1", ".12", ".001", "-20261122", ".20261122-101500", ".2026-11-22", "_2026-11-22_10", ".1763805600"]
ROTATED += [".2026-11-22T10:15:00Z", ".old", ".bak", "-prev"]
OTHERS = ["", ".lock", ".error.log", "2", ".1.gz", ".pos", ".v2", ".old2"]
SUFFIXES = dict.fromkeys(ROTATED, True) | dict.fromkeys(OTHERS, False)


@pytest.mark.parametrize(("suffix", "expected"), SUFFIXES.items())
def test_rotation_suffixes_are_told_from_other_names(suffix: str, *, expected: bool) -> None:
    """Numbers, dates and a few words; anything else is a file of its own."""
    assert is_rotation_suffix(suffix) is expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/logs/model.log.1", "/logs/model.log"),
        ("/logs/model.log-20261122", "/logs/model.log"),
        ("/logs/model.log.2026-11-22", "/logs/model.log"),
        ("/logs/model.log", None),
        ("/lo.1/model.log", None),
        ("/logs/.1", None),
    ],
)
def test_the_path_before_rotation(path: str, expected: str | None) -> None:
    """A rotated file's name leads back to the name its lines were written under."""
    assert path_before_rotation(path) == expected


def member(suffix: str, mtime: int, *, listed: bool = False) -> Member:
    """A member named by its suffix; the one without is live."""
    return Member(f"/logs/m.log{suffix}", (1, hash(suffix)), 1, mtime, suffix, live=not suffix, listed=listed)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ([("", 5), (".1", 4), (".2", 3)], [".2", ".1", ""]),
        ([("", 5), (".1", 3), (".2", 4)], [".1", ".2", ""]),
        ([("", 5), (".1", 4), (".2", 4), (".10", 4)], [".10", ".2", ".1", ""]),
        ([("", 3), (".1", 9)], [".1", ""]),
        ([("", 4), ("-20261123", 4), ("-20261122", 4)], ["-20261122", "-20261123", ""]),
        ([(".2026-11-23", 4), (".2026-11-22", 4), ("", 1)], [".2026-11-22", ".2026-11-23", ""]),
    ],
)
def test_generations_are_ordered_by_age(members: list[tuple[str, int]], expected: list[str]) -> None:
    """By the last change, then by the suffix; the live one is always the newest, even if a late line made the rotated
    one younger."""
    assert [m.suffix for m in oldest_first([member(*m) for m in members])] == expected


@pytest.mark.parametrize(
    ("names", "known", "vanished", "expected"),
    [
        (["", ".1", ".2"], [], None, [""]),
        (["", ".1", ".2"], [".2"], None, [".1", ""]),
        (["", ".1", ".2"], [".1"], None, [""]),
        (["", ".1", ".2"], [""], None, []),
        (["", ".1", ".2"], [".2", ""], None, []),
        (["", ".1", ".2"], [".2"], 9, [".1", ""]),
        (["", ".1", ".2"], [".2"], 10, [""]),
        (["", ".1", ".2"], [], 8, [".2", ".1", ""]),
        (["", ".1", ".2"], [], 9, [".1", ""]),
        (["", ".1", ".2"], [], 99, [""]),
        (["", ".lock", ".2"], [], 0, [".2", ""]),
        ([".1", ".2"], [], None, []),
    ],
)
def test_which_unknown_files_are_read(
    names: list[str], known: list[str], vanished: int | None, expected: list[str]
) -> None:
    """On a first sight the live one only; later what is newer than the newest known, or not older than that was when
    it is gone."""
    mtimes = {"": 10, ".1": 9, ".2": 8, ".lock": 9}
    members = oldest_first([member(name, mtimes[name]) for name in names])
    chosen = to_be_read(members, [member(name, 0).inode for name in known], vanished, 100)
    assert [m.suffix for m in chosen] == expected


def test_what_the_pattern_names_is_read_on_a_first_sight() -> None:
    """``model.log*`` means the rotated files too."""
    members = oldest_first([member("", 9), member(".1", 8, listed=True), member(".2", 7)])
    assert [m.suffix for m in to_be_read(members, [], None, 100)] == [".1", ""]


def test_what_was_rotated_since_the_input_began_is_read_on_a_first_sight() -> None:
    """Written and rotated before anybody looked: read, unlike older ones, odd names, and copies made of older ones."""
    members = [member("", 9), member(".1", 8), member(".2", 7), member(".lock", 9)]
    packed = msgspec.structs.replace(member(".3", 9), packed=True)
    assert [m.suffix for m in to_be_read(oldest_first([*members, packed]), [], None, 8)] == [".1", ""]


NAMES = st.sampled_from(["a", "b.log", ".hidden", "x[1]", "long-name.log", "ab"])
FOLDERS = st.sampled_from(["d", "dd", ".d", "d[1]"])
PATTERNS = st.sampled_from(["*", "**", "*.log", "?", "[abd]*", "a", "d", ".*", "?[[]1]", "[!a]*"])


@settings(max_examples=100, deadline=None)
@given(
    paths=st.lists(st.tuples(st.lists(FOLDERS, max_size=2), NAMES), min_size=1, max_size=8),
    pattern=st.lists(PATTERNS, min_size=1, max_size=4),
)
def test_matching_a_path_agrees_with_looking_for_it(
    tmp_path_factory: pytest.TempPathFactory, paths: list[tuple[list[str], str]], pattern: list[str]
) -> None:
    """A path matches exactly if expanding the pattern finds it."""
    root = tmp_path_factory.mktemp("globs")
    for folders, name in paths:
        root.joinpath(*folders).mkdir(parents=True, exist_ok=True)
        root.joinpath(*folders, name).touch()
    globs = Globs([f"{root}/{'/'.join(pattern)}"], [])
    there = {os.path.join(folder, name) for folder, _, files in os.walk(root) for name in files}
    found = {path for path in globs.expand() if os.path.isfile(path)}
    assert found == {path for path in there if globs.matches(path)}


@pytest.mark.parametrize(
    ("exclude", "path", "expected"),
    [
        ("debug.*", "/logs/debug.log", True),
        ("debug.*", "/logs/deep/debug.log", True),
        ("/logs/*/debug.log", "/logs/deep/debug.log", True),
        ("/logs/*/debug.log", "/logs/debug.log", False),
        ("/logs/**", "/logs/deep/er/debug.log", True),
        ("*.gz", "/logs/model.log", False),
        ("nothing", "/logs/model.log.zst", True),
    ],
)
def test_exclusion(exclude: str, path: str, *, expected: bool) -> None:
    """By name, by path, and always what is compressed."""
    assert Globs(["/logs/**"], [exclude]).excludes(path) is expected


def test_patterns_begin_in_folders_without_wildcards() -> None:
    """These are what is watched and reported missing."""
    assert Globs(["/var/log/pods/*/x-*/0.log", "/logs/*.log", "/logs/a.log"], []).roots() == ["/logs", "/var/log/pods"]


def test_two_stars_stand_for_any_number_of_folders() -> None:
    """None included."""
    for path, expected in {"/a/m.log": True, "/a/b/c/m.log": True, "/a/.h/m.log": False, "/m.log": False}.items():
        assert path_matches(path, "/a/**/m.log") is expected


def test_a_listing_is_taken_again_while_names_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file renamed twice while its folder is read is not missed."""
    from agent.inputs.file import listing

    log = tmp_path / "m.log"
    log.write_bytes(b"middle\n")
    once = listing._list_once

    def while_rotating(globs: Globs, chains: Mapping[str, Collection[str]]) -> listing.Listing:
        found = once(globs, chains)
        if not (tmp_path / "m.log.1").exists():
            log.rename(tmp_path / "m.log.1")
            log.write_bytes(b"new\n")
        return found

    monkeypatch.setattr(listing, "_list_once", while_rotating)
    seen = listing.list_files(Globs([str(log)], []), {}, [])
    assert [m.suffix for m in seen.chains[str(log)]] == ["", ".1"]
