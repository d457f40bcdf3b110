"""Whether the kernel killed something of ours for want of memory, as our control group counts it.

Version 2 counts in ``memory.events`` (``oom_kill``, children included), version 1 in ``memory.oom_control``
(``oom_kill``, since Linux 4.13); Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst of the kernel. The
model is in the group we are in, as it inherits it.
"""

from pathlib import Path


def oom_kills(root: Path = Path("/")) -> int | None:
    """How many processes of our control group have been killed so far; None where nobody counts."""
    for path in _counters(root):
        try:
            text = path.read_text()
        except OSError:
            continue
        if (count := kills_in(text)) is not None:
            return count
    return None


def kills_in(text: str) -> int | None:
    """The count in the text of ``memory.events`` or ``memory.oom_control``."""
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill" and value.isdecimal():
            return int(value)
    return None


def _counters(root: Path) -> list[Path]:
    """Where the count may be, the most exact place first. Without a namespace of its own for control groups a container
    reads the host's path of its group but has the group itself at the root of what is mounted."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    found: list[Path] = []
    for line in lines:
        hierarchy, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if hierarchy == "0" and not controllers:
            mounts, name = ["sys/fs/cgroup", "sys/fs/cgroup/unified"], "memory.events"
        elif "memory" in controllers.split(","):
            mounts, name = ["sys/fs/cgroup/memory"], "memory.oom_control"
        else:
            continue
        found += [root / mount / place / name for mount in mounts for place in (group.lstrip("/"), "")]
    return found
