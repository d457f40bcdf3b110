"""Numbers and names as the commands show them to people."""

import re

_PLAIN = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)


def counted(count: int, noun: str) -> str:
    """``1 record``, ``1,234 records``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def readable_size(size: float) -> str:
    """``3.1 MiB``."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} TiB"


def plain(name: str) -> str:
    """A file's name as it may be shown: one that is no id of ours is quoted, since anything can be in it."""
    return name if _PLAIN.fullmatch(name) else ascii(name)


def readable_age(millis: int) -> str:
    """How long that is, in the largest unit of which there are two."""
    secs = max(0, millis) // 1000
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if secs >= 2 * length:
            return f"{secs // length} {unit}"
    return f"{secs} seconds"
