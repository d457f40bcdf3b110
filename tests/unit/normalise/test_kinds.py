"""Plain kinds and durations: what fits a place, and what is kept of it."""

import itertools

import pytest

from agent.processors.normalise.durations import DurationReader
from agent.processors.normalise.kinds import Identifier, Keyword, Keywords, Long, OneOf, Payload, Text
from agent.processors.normalise.reading import Reader, Reading

VALUES = [
    b'"text"',
    b'""',
    b"null",
    b"true",
    b"false",
    b"0",
    b"-0",
    b"12",
    b"-12",
    b"1.0",
    b"1e3",
    b"1E-2",
    b"37.898",
    b"1e400",
    b"-1.5",
    b"999999999999999999",
    b"9223372036854775807",
    b"99999999999999999999",
    b"0.0000000000000000000000000001",
    b"{}",
    b'{"a":1}',
    b"[]",
    b'["a"]',
    b"[1,2]",
    b'"12"',
    b'"NaN"',
    b'"\\ud800"',
    b'"success"',
    b"9" * 400,
]
READERS: list[Reader] = [
    Keyword("p"),
    Identifier("p"),
    Text("p"),
    OneOf("p", "success"),
    Keywords("p"),
    Long("p"),
    Payload("p"),
    DurationReader(1),
    DurationReader(1_000_000),
    DurationReader(1_000_000_000),
]


def filled(reader: Reader, value: bytes) -> tuple[bytes, bool] | None:
    """What one value comes to, and whether the original need not be kept."""
    reading = reader.read(value)
    return reading and (reading.filled[0][1], reading.exact)


@pytest.mark.parametrize(
    ("reader", "value", "expected"),
    [
        (Keyword("p"), b'"a\\u00e9"', (b'"a\\u00e9"', True)),
        (Keyword("p"), b"1", None),
        (Keyword("p"), b"null", None),
        (Identifier("p"), b'"a"', (b'"a"', True)),
        (Identifier("p"), b"12345", (b'"12345"', False)),
        (Identifier("p"), b"1.5", None),
        (Text("p"), b'"a"', (b'"a"', True)),
        (Text("p"), b'{"a": "b"}', (b'"{\\"a\\": \\"b\\"}"', True)),
        (Text("p"), b"1.10", (b'"1.10"', True)),
        (Text("p"), b"null", None),
        (OneOf("p", "success", "failure"), b'"failure"', (b'"failure"', True)),
        (OneOf("p", "success", "failure"), b'"maybe"', None),
        (Keywords("p"), b'["a", "b"]', (b'["a", "b"]', True)),
        (Keywords("p"), b'["a", 1]', None),
        (Long("p"), b"-7", (b"-7", True)),
        (Long("p"), b"1.0", None),
        (Long("p"), b'"7"', None),
        (Long("p"), b"1" * 19, None),
        (Payload("p"), b'{"a": 1.10}', (b'{"a": 1.10}', True)),
        (Payload("p"), b"[1, 2]", (b'{"value":[1, 2]}', True)),
        (Payload("p"), b"null", (b'{"value":null}', True)),
    ],
)
def test_kind(reader: Reader, value: bytes, expected: tuple[bytes, bool] | None) -> None:
    """A value of the right kind lands as it was written; one that had to be put in other words is kept beside it."""
    assert filled(reader, value) == expected


@pytest.mark.parametrize(
    ("unit", "value", "expected"),
    [
        (1_000_000, b"37.898", b"37898000"),
        (1_000_000, b"0", b"0"),
        (1_000_000_000, b"1e-3", b"1000000"),
        (1_000_000_000, b"0.1", b"100000000"),
        (1_000, b"1.5", b"1500"),
        (1, b"12", b"12"),
        (1, b"0.4", b"0"),
        (1_000_000, b"-1", None),
        (1_000_000, b'"37.9"', None),
        (1_000_000, b"null", None),
        (1_000_000, b"1e400", None),
        (1_000_000, b"1e300", None),
        (1_000_000_000, b"9223372037", None),
    ],
)
def test_duration(unit: int, value: bytes, expected: bytes | None) -> None:
    """Whole nanoseconds within 64 bits, and the original is always kept."""
    found = filled(DurationReader(unit), value)
    assert found == (None if expected is None else (expected, False))


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: type(reader).__name__)
def test_column_agrees_with_single_values(reader: Reader) -> None:
    """A column that is read at once comes to exactly what its values come to one by one, for any two values."""
    for column in itertools.product(VALUES, VALUES):
        read = reader.read_column(column)
        if read:
            assert [reader.read(value) for value in column] == [
                Reading(tuple(zip(read.places, map(bytes, values), strict=True)), read.exact)
                for values in zip(*read.columns, strict=True)
            ]


@pytest.mark.parametrize(
    ("reader", "column"),
    [
        (Keyword("p"), [b'"a"', b'"b\\n"']),
        (Long("p"), [b"1", b"-2"]),
        (Payload("p"), [b"{}", b'{"a":"\\n{"}']),
        (DurationReader(1000), [b"1", b"2.5"]),
    ],
)
def test_usual_columns_are_read_at_once(reader: Reader, column: list[bytes]) -> None:
    """Columns of one kind need no look at each value."""
    assert reader.read_column(column) is not None
