"""Levels: names and numbers of the usual libraries."""

import pytest

from agent.processors.normalise.levels import LevelReader, Scale
from agent.processors.normalise.reading import Reading


def level(value: bytes, scale: Scale = "stdlib") -> tuple[bytes, bytes, bool] | None:
    """Level, severity, and whether the original need not be kept."""
    reading = LevelReader(scale).read(value)
    if reading is None:
        return None
    places = dict(reading.filled)
    return places["log.level"], places["event.severity"], reading.exact


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("DEBUG", (b'"debug"', b"10", True)),
        ("info", (b'"info"', b"20", True)),
        ("WARNING", (b'"warning"', b"30", True)),
        ("error", (b'"error"', b"40", True)),
        ("CRITICAL", (b'"critical"', b"50", True)),
        ("Info", (b'"info"', b"20", False)),
        ("WARN", (b'"warning"', b"30", False)),
        ("warn", (b'"warning"', b"30", False)),
        ("FATAL", (b'"critical"', b"50", False)),
        ("TRACE", (b'"debug"', b"10", False)),
        ("notice", (b'"info"', b"20", False)),
        ("SUCCESS", (b'"info"', b"20", False)),
        ("Level 25", (b'"info"', b"20", False)),
        ("40", (b'"error"', b"40", False)),
        (" W ", (b'"warning"', b"30", False)),
        ("emerg", (b'"critical"', b"50", False)),
    ],
)
def test_name(written: str, expected: tuple[bytes, bytes, bool]) -> None:
    """Every usual spelling maps onto one of five; only the five names themselves need not be kept."""
    assert level(b'"%b"' % written.encode()) == expected


@pytest.mark.parametrize(
    "value", [b'"AUDIT"', b'""', b"null", b"true", b"0", b"-10", b"101", b"20.0", b"[20]", b"{}", b'"%b"' % (b"x" * 99)]
)
def test_no_level(value: bytes) -> None:
    """What no library means a level by is none."""
    assert level(value) is None


@pytest.mark.parametrize(
    ("scale", "numbers", "expected"),
    [
        ("stdlib", (5, 10, 19), "debug"),
        ("stdlib", (20, 25, 29), "info"),
        ("stdlib", (30, 39), "warning"),
        ("stdlib", (40,), "error"),
        ("stdlib", (50, 60, 100), "critical"),
        ("syslog", (0, 1, 2), "critical"),
        ("syslog", (3,), "error"),
        ("syslog", (4,), "warning"),
        ("syslog", (5, 6), "info"),
        ("syslog", (7,), "debug"),
        ("syslog", (30,), "warning"),
        ("otel", (1, 4, 5, 8), "debug"),
        ("otel", (9, 12), "info"),
        ("otel", (13,), "warning"),
        ("otel", (17, 20), "error"),
        ("otel", (21, 24), "critical"),
    ],
)
def test_number(scale: Scale, numbers: tuple[int, ...], expected: str) -> None:
    """A number means what the writer's library means by it."""
    for number in numbers:
        found = level(b"%d" % number, scale)
        assert found
        assert found[0] == b'"%b"' % expected.encode()
        assert not found[2]


def test_column_agrees_with_single_values() -> None:
    """A column of the five names reads as each alone; one other name and the column is not read at once."""
    column = [b'"INFO"', b'"error"', b'"CRITICAL"']
    reader = LevelReader()
    read = reader.read_column(column)
    assert read
    alone = [reader.read(value) for value in column]
    assert alone == [
        Reading(tuple(zip(read.places, values, strict=True)), read.exact) for values in zip(*read.columns, strict=True)
    ]
    assert reader.read_column([*column, b'"WARN"']) is None
