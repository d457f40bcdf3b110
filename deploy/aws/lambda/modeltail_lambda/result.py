"""What became of the units that were given to a destination, and of what was set aside."""

from dataclasses import dataclass, field

from .unit import Bad


@dataclass
class Taken:
    """``stored`` and ``duplicates`` count documents. ``refused`` are documents refused for good. ``failed`` are the
    units, by their position, that must come again, each with the reason: all others are done."""

    stored: int = 0
    duplicates: int = 0
    refused: list[tuple[int, Bad]] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)


class NotKept(Exception):
    """What is bad could not be set aside. Its Kinesis record comes again."""
