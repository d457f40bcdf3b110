"""Lines by a regular expression, as pairs, as rows: what the operator describes."""

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.processors.normalise import Normaliser, NormaliseSettings
from agent.processors.parse.config import CsvParse, KeyValueParse, LogfmtParse, ParseConfig, RegexParse, TimeOptions
from agent.processors.parse.make import parser_of
from tests.unit.normalise.documents import batch_of
from tests.unit.parse.parsed import READ_AT, READ_AT_NS, flat, parsed

READ = {"@timestamp": READ_AT, "labels.timestamp": "read"}
INFO = {"log.level": "info", "event.severity": "20"}
ACCESS = RegexParse(
    pattern=r'^(?P<peer>\S+) "(?P<verb>[A-Z]+) (?P<target>\S+)" (?P<status>\d+)(?: (?P<latency_ms>[\d.]+))?',
    rename={"status": "http.response.status_code", "peer": "client.ip", "target": "url.path"},
)
KERAS = KeyValueParse(between=": ", separator=" - ", types={"loss": "float", "accuracy": "float"})


def _one(line: str, parse: ParseConfig, timezone: str = "UTC") -> dict[str, Any]:
    (found,), _ = parsed([line], parse=parse, timezone=timezone)
    return flat(found)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            '192.0.2.7 "GET /a" 200 37.50',
            {
                "client.ip": "192.0.2.7",
                "fields.verb": "GET",
                "url.path": "/a",
                "http.response.status_code": "200",
                "event.duration": "37500000",
                "fields.latency_ms": "37.50",
            },
        ),
        (
            'é "PUT /ü" 007 1.2.3 and more',
            {
                "client.ip": "é",
                "fields.verb": "PUT",
                "url.path": "/ü",
                "fields.http.response.status_code": "007",
                "fields.latency_ms": "1.2.3",
            },
        ),
        ('x "A b" 5', {"client.ip": "x", "fields.verb": "A", "url.path": "b", "http.response.status_code": "5"}),
    ],
)
def test_named_groups_are_the_parts(line: str, expected: dict[str, str]) -> None:
    """Under their names, or the names they are given; a group that took no part is none. What is no number stays the
    text it is, under ``fields``."""
    assert _one(line, ACCESS) == READ | expected | {"message": line}


def test_a_message_among_the_groups_leaves_the_line_to_the_fields() -> None:
    """The parts need not give a line back, so it is kept: as the message, or beside it."""
    line = "[INFO] scorer | served"
    found = _one(line, RegexParse(pattern=r"\[(?P<level>\w+)\] (?P<logger>\w+) \| (?P<msg>.*)"))
    assert found == READ | INFO | {"log.logger": "scorer", "message": "served", "fields.line": line}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            'ts=2026-11-22T10:00:00.5Z level=info msg="a \\"b\\" c" request_id=7 latency_ms=37.50 k= x=y=z',
            INFO
            | {
                "@timestamp": "2026-11-22T10:00:00.5Z",
                "message": 'a "b" c',
                "ml.inference.id": "7",
                "event.duration": "37500000",
                "fields.latency_ms": "37.50",
                "fields.k": "",
                "fields.x": "y=z",
            },
        ),
        ("  a=1\tb=2  ", READ | {"fields.a": "1", "fields.b": "2"}),
        ('a="\\x" b="é\\u00e9"', READ | {"fields.a": "\\x", "fields.b": "éé"}),
        ('latency_ms="37.50"', READ | {"event.duration": "37500000", "fields.latency_ms": "37.50"}),
        ("a=1 a=2", READ | {"fields.a": "2", "message": "a=1 a=2"}),
        ("a.b=1 event.id=x labels.parse=y host=h", READ | {
            "fields.a.b": "1", "fields.event.id": "x", "fields.labels.parse": "y", "fields.host": "h"
        }),
    ],
)  # fmt: skip
def test_logfmt(line: str, expected: dict[str, str]) -> None:
    """Pairs through the same table of names as an object's members; a key that comes twice keeps the whole line."""
    assert _one(line, LogfmtParse()) == expected


@pytest.mark.parametrize(
    ("line", "config", "expected"),
    [
        (
            "1875/1875 - 3s - loss: 0.2912 - accuracy: 0.9000",
            KERAS,
            {"fields.loss": "0.2912", "fields.accuracy": "0.9000", "message": "1875/1875 - 3s - loss: 0.2912 - "
            "accuracy: 0.9000"},
        ),
        ("Epoch 3/10 loss=0.5", KeyValueParse(), {"fields.loss": "0.5", "message": "Epoch 3/10 loss=0.5"}),
        ('a="x y" b=1', KeyValueParse(), {"fields.a": "x y", "fields.b": "1"}),
        ("a: 1 b: 2", KeyValueParse(between=": "), {"fields.a": "1", "fields.b": "2"}),
        ('a = "x, y", b = \'z\'', KeyValueParse(separator=","), {"fields.a": "x, y", "fields.b": "'z'"}),
        ("level=info;msg=hi", KeyValueParse(separator=";"), INFO | {"message": "hi"}),
        ('a="x', KeyValueParse(), {"fields.a": '"x'}),
    ],
)  # fmt: skip
def test_key_value(line: str, config: KeyValueParse, expected: dict[str, str]) -> None:
    """Pairs with any marks; where something is no pair the whole line is kept."""
    assert _one(line, config) == READ | expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            '2026-11-22 10:00:00,"a, ""b""",3.250,,ok',
            {
                "@timestamp": "2026-11-22T10:00:00Z",
                "labels.timezone": "assumed",
                "fields.time": "2026-11-22 10:00:00",
                "message": 'a, "b"',
                "event.duration": "3250000000",
                "fields.latency_s": "3.250",
                "fields.x": "ok",
            },
        ),
        ("\ufeff,,,1,", READ | {"ml.inference.id": "1"}),
    ],
)
def test_csv(line: str, expected: dict[str, str]) -> None:
    """One line is one row; an empty value is none, and a byte order mark belongs to none."""
    assert _one(line, CsvParse(columns=["time", "msg", "latency_s", "request_id", "x"])) == expected


@pytest.mark.parametrize(
    ("line", "config"),
    [
        ("nothing like it", ACCESS),
        ("level=info and words", LogfmtParse()),
        ('a="x', LogfmtParse()),
        ('a="x"y', LogfmtParse()),
        ("=1", LogfmtParse()),
        ("words: none", KeyValueParse()),
        ("=1", KeyValueParse()),
        ("a,b,c", CsvParse(columns=["a", "b"])),
        ('a,"b', CsvParse(columns=["a", "b"])),
        ('a,"b"c', CsvParse(columns=["a", "b"])),
        ("12", LogfmtParse()),
    ],
)
def test_a_line_that_does_not_fit_stays_whole_and_is_marked(line: str, config: ParseConfig) -> None:
    """As if nobody had asked, with the mark and the count."""
    (found,), counts = parsed([line], parse=config)
    assert flat(found) == READ | {"message": line, "labels.parse": "failed"}
    assert counts.noted == {"parse_failed": 1}


def test_usual_formats_are_read_where_the_pattern_does_not_fit() -> None:
    """The mark says that the operator's pattern did not; the rest is what it would be without one."""
    line = "2026-11-22 10:00:00,123 - scorer - WARNING - cache miss"
    found = _one(line, LogfmtParse())
    assert found.pop("labels.parse") == "failed"
    assert found == flat(parsed([line])[0][0])


def test_objects_are_read_as_objects() -> None:
    """What is JSON is never taken apart as text; what only begins like an object may be a line of the operator's."""
    config = RegexParse(pattern=r"^\{(?P<who>\w+)\} (?P<message>.*)")
    (first, second, third), counts = parsed(['{"level": "INFO", "a": 1.10}', "{gpu0} hot", "{broken"], parse=config)
    assert flat(first) == READ | INFO | {"fields.a": "1.10"}
    assert flat(second) == READ | {"fields.who": "gpu0", "message": "hot", "fields.line": "{gpu0} hot"}
    assert flat(third) == READ | {"message": "{broken", "labels.parse": "failed"}
    assert counts.noted == {"parse_failed": 1}


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("int", "12345678901234567890123", "12345678901234567890123"),
        ("int", "+5", '"+5"'),
        ("int", "007", '"007"'),
        ("int", "1.0", '"1.0"'),
        ("float", "1.1099999999999999", "1.1099999999999999"),
        ("float", "-0.10e-3", "-0.10e-3"),
        ("float", "nan", '"nan"'),
        ("float", ".5", '".5"'),
        ("bool", "True", "true"),
        ("bool", "yes", '"yes"'),
        ("json", '{"a":1.10,"b":"\\u00e9"}', '{"a":1.10,"b":"\\u00e9"}'),
        ("json", "[1", '"[1"'),
        ("json", "[" * 100_000, '"' + "[" * 100_000 + '"'),
        ("string", "1", '"1"'),
    ],
)
def test_types_keep_what_was_written(kind: Any, text: str, value: str) -> None:
    """Numbers digit by digit, strings as they stand; a value of another type stays text."""
    way = parser_of((), RegexParse(pattern="(?P<x>.*)", types={"x": kind}), "UTC")
    record = way(text, 0)
    assert record is not None
    assert bytes(record["x"]).decode() == value


@pytest.mark.parametrize(
    ("time", "line", "expected"),
    [
        (
            TimeOptions(field="when", format=["%d/%m %H.%M"], timezone="Europe/Paris"),
            "31/12 23.59",
            {"@timestamp": "2026-12-31T23:59:00+01:00", "labels.timezone": "assumed", "fields.when": "31/12 23.59"},
        ),
        (
            TimeOptions(field="when", format=["%F", "epoch_ms"]),
            "1763805600123",
            {"@timestamp": "2025-11-22T10:00:00.123Z", "fields.when": "1763805600123"},
        ),
        (TimeOptions(field="when", format=["%F"]), "soon", READ | {"fields.when": "soon"}),
    ],
)
def test_time_as_the_operator_says(time: TimeOptions, line: str, expected: dict[str, str]) -> None:
    """The first format that fits; the text stays beside it, and a text that is no time leaves the time of reading."""
    assert _one(line, RegexParse(pattern="(?P<when>.*)", time=time)) == expected | {"message": line}


def test_time_comes_before_the_usual_names() -> None:
    """A part the operator named is the time, whatever else is called one."""
    config = LogfmtParse(time=TimeOptions(field="at", format=["%F %T"]))
    found = _one('time=2020-01-01T00:00:00Z at="2026-11-22 10:00:00"', config, timezone="Asia/Kolkata")
    assert (found["@timestamp"], found["fields.time"]) == ("2026-11-22T10:00:00+05:30", "2020-01-01T00:00:00Z")


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,8}", fullmatch=True).filter(lambda key: key != "line"),
        st.text(max_size=20),
        min_size=1,
    )
)
def test_logfmt_gives_back_what_was_written(pairs: dict[str, str]) -> None:
    """Whatever the values are: quoted as JSON they come back as they were."""
    line = " ".join(f"{key}={json.dumps(value)}" for key, value in pairs.items())
    record = parser_of((), LogfmtParse(), "UTC")(line, 0)
    assert record is not None
    assert {key: json.loads(bytes(value)) for key, value in record.items()} == pairs


@given(st.lists(st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"])), min_size=2, max_size=6))
def test_csv_gives_back_what_was_written(values: list[str]) -> None:
    """Rows as Python's own writer makes them; empty values are left out."""
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(values)
    record = parser_of((), CsvParse(columns=[f"c{i}" for i in range(len(values))]), "UTC")(out.getvalue(), 0)
    assert record is not None
    assert [json.loads(bytes(record.get(f"c{i}", b'""'))) for i in range(len(values))] == values


WAYS: list[ParseConfig] = [
    ACCESS,
    RegexParse(pattern=r"(?P<a>\w*)(?P<b>.?)", types={"a": "json", "b": "int"}),
    LogfmtParse(types={"a": "float"}, time=TimeOptions(field="a", format=["epoch"])),
    KERAS,
    KeyValueParse(),
    CsvParse(columns=["a", "time"], types={"a": "json"}),
]


@pytest.mark.parametrize("config", WAYS)
@given(
    st.lists(st.binary(max_size=40) | st.sampled_from([b'a="', b"a=1 b=", b"loss: 1 - ", b'a,"b"', b"1,2", b"\xff=1"]))
)
def test_any_bytes_become_a_document_each(config: ParseConfig, lines: list[bytes]) -> None:
    """Nothing raises, nothing is lost: what is not blank has a document, read alone or beside others."""
    lines = [line.replace(b"\n", b" ") for line in lines]
    together, counts = parsed(lines, parse=config)
    assert len(together) == len(lines) - counts.dropped.get("empty", 0)
    assert together == [document for line in lines for document in parsed([line], parse=config)[0]]


HOSTILE = ['a="' * 200_000, "a=" * 300_000, "=" * 600_000, 'a=" ' * 200_000, "= " * 300_000, ": - " * 200_000]
HOSTILE += ['"' * 600_000, "," * 600_000, " " * 300_000 + "x", "a" * 600_000, 'a="\\' + "\\" * 600_000]


@pytest.mark.parametrize("config", WAYS)
def test_hostile_lines_take_no_more_than_linear_time(config: ParseConfig) -> None:
    """Lines that almost fit are over at once. (Otherwise this would not come to an end.)"""
    parser = parser_of((), config, "UTC")
    for line in HOSTILE:
        parser(line, READ_AT_NS)


def test_parsed_lines_stand_where_they_were_written() -> None:
    """Objects, lines that fit and lines that do not keep their order in one batch."""
    lines: list[str] = []
    for i in range(1500):
        lines.append([f'{{"n": "{i}"}}', f"n={i}", f"free text {i}"][i % 7 % 3])
    batch = batch_of(lines)
    batch = Normaliser(NormaliseSettings(), parser_of((), LogfmtParse(), "UTC"))(batch)
    rows = sorted(row for table in batch.tables for row in table.rows)
    assert rows == list(range(1500))
    found, _ = parsed(lines, parse=LogfmtParse())
    assert [d.get("fields", {}).get("n") or d["message"].split()[-1] for d in found] == [str(i) for i in range(1500)]
