"""What the kernel counts as killed for want of memory."""

from pathlib import Path

import pytest

from agent.inputs.exec.oom import kills_in, oom_kills

V2 = "low 0\nhigh 12\nmax 40\noom 3\noom_kill 2\noom_group_kill 1\n"
V1 = "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n"


@pytest.mark.parametrize(
    ("text", "kills"),
    [(V2, 2), (V1, 7), ("oom_kill_disable 0\nunder_oom 0\n", None), ("", None), ("oom_kill many\n", None)],
)
def test_the_count_is_read_from_either_version(text: str, kills: int | None) -> None:
    """And from no other line; Linux before 4.13 does not count."""
    assert kills_in(text) == kills


@pytest.mark.parametrize(
    ("groups", "counter", "text", "kills"),
    [
        ("0::/\n", "sys/fs/cgroup/memory.events", V2, 2),
        ("0::/system.slice/model.service\n", "sys/fs/cgroup/system.slice/model.service/memory.events", V2, 2),
        ("0::/kubepods/pod1/c1\n", "sys/fs/cgroup/memory.events", V2, 2),
        ("4:memory:/docker/c1\n0::/docker/c1\n", "sys/fs/cgroup/memory/docker/c1/memory.oom_control", V1, 7),
        ("4:memory:/docker/c1\n0::/docker/c1\n", "sys/fs/cgroup/memory/memory.oom_control", V1, 7),
        ("9:cpu,memory:/a\n", "sys/fs/cgroup/memory/a/memory.oom_control", V1, 7),
        ("4:memory:/\n0::/x\n", "sys/fs/cgroup/unified/x/memory.events", V2, 2),
        ("3:cpu:/a\n", "sys/fs/cgroup/memory/a/memory.oom_control", V1, None),
    ],
)
def test_the_counter_is_found(tmp_path: Path, groups: str, counter: str, text: str, kills: int | None) -> None:
    """On a host by the group's path, in a container at the root of what is mounted, in both versions."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups)
    (tmp_path / counter).parent.mkdir(parents=True)
    (tmp_path / counter).write_text(text)
    assert oom_kills(tmp_path) == kills


def test_nobody_counts(tmp_path: Path) -> None:
    """A system without control groups is none to fail on."""
    assert oom_kills(tmp_path) is None
