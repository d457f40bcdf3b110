"""What the numbers were measured on, without anything that names the machine."""

import os
import platform
from pathlib import Path

from bench.results import Machine


def describe(workspace: Path) -> Machine:
    """This machine; ``workspace`` is where queues are written."""
    return Machine(
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        kernel=f"{platform.system()} {platform.release().partition('-')[0]}",
        filesystem=_filesystem(workspace),
    )


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine()


def _filesystem(path: Path) -> str:
    """The type of the file system a path lies on: the mount point with the longest match."""
    best, kind = "", "unknown"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount, found, *_ = line.split()
        if path.resolve().is_relative_to(mount) and len(mount) >= len(best):
            best, kind = mount, found
    return kind
