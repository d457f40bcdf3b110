"""Each preset's table: lines as the servers print them, in several versions, and the fields they become."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agent.processors.normalise.levels import SEVERITY
from agent.processors.parse.config import PresetName
from agent.processors.parse.presets import PRESETS, preset
from tests.unit.parse.parsed import READ_AT, flat, parsed

TABLES = sorted(Path(__file__).parent.glob("*.yaml"))
NAMES: tuple[PresetName, ...] = get_args(PresetName)


def _rows() -> Iterator[tuple[PresetName, str, dict[str, Any]]]:
    """A row leaves out what follows from its line: the message where it is the whole line, the line where it is not,
    the number of a level, and the time of reading where no time was written."""
    for name in NAMES:
        for row in yaml.safe_load((Path(__file__).parent / f"{name}.yaml").read_text()):
            line, expected = row["line"], dict(row["is"])
            expected["fields.line" if "message" in expected else "message"] = line
            if "log.level" in expected:
                expected["event.severity"] = str(SEVERITY[expected["log.level"]])
            if "@timestamp" not in expected:
                expected |= {"@timestamp": READ_AT, "labels.timestamp": "read"}
            yield name, line, expected


@pytest.mark.parametrize(("name", "line", "expected"), list(_rows()))
def test_line_becomes_these_fields(name: PresetName, line: str, expected: dict[str, Any]) -> None:
    """Every field, and no other; numbers with the digits that were written."""
    (found,), counts = parsed([line], [name])
    assert (flat(found), counts.noted) == (expected, {})


def test_every_preset_has_a_table_and_a_line_in_the_list() -> None:
    """The setting's names, the list and the tables are the same."""
    assert set(NAMES) == set(PRESETS) == {path.stem for path in TABLES}


def test_every_preset_is_documented() -> None:
    """A row each in ``docs/presets.md``, and no other."""
    page = (Path(__file__).parents[4] / "docs" / "presets.md").read_text()
    assert sorted(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == sorted(PRESETS)


@pytest.mark.parametrize("name", NAMES)
def test_other_lines_go_the_ordinary_way(name: PresetName) -> None:
    """A server prints other things too: what the preset does not know is read as without it, and not marked."""
    lines = ["Segmentation fault", "  File 'x.py', line 3", '{"message": "a", "level": "INFO"}', "Traceback (most", "{"]
    found, counts = parsed(lines, [name])
    assert found == parsed(lines)[0]
    assert counts.noted == {"parse_failed": 1}  # the broken object


@pytest.mark.parametrize("name", NAMES)
def test_rows_do_not_depend_on_their_neighbours(name: PresetName) -> None:
    """Lines read together, by columns, become what each becomes alone."""
    lines = [line for other, line, _ in _rows() if other == name] * 4
    together, _ = parsed(lines, [name])
    assert together == [parsed([line], [name])[0][0] for line in lines]


def test_presets_are_tried_in_turn() -> None:
    """A pod that prints the lines of two servers names both."""
    lines = ["I1122 10:00:00.123456 1 server.cc:592] a", "2026-11-22 10:00:00,123 [mlserver] INFO - b"]
    found, _ = parsed(lines, ["triton", "mlserver"])
    assert [(document["message"], document["log"]["level"]) for document in found] == [("a", "info"), ("b", "info")]


@pytest.mark.parametrize(
    ("name", "line", "read", "time"),
    [
        ("vllm", "INFO 12-31 23:59:59 [a.py:1] x", datetime(2027, 1, 1, 0, 0, 5), "2026-12-31T23:59:59Z"),
        ("vllm", "INFO 01-01 00:00:01 [a.py:1] x", datetime(2026, 12, 31, 23, 59, 59), "2027-01-01T00:00:01Z"),
        ("triton", "I1231 23:59:59.5 1 a.cc:1] x", datetime(2027, 1, 1, 0, 0, 5), "2026-12-31T23:59:59.5Z"),
        ("triton", "I0229 10:00:00.5 1 a.cc:1] x", datetime(2028, 3, 1), "2028-02-29T10:00:00.5Z"),
        ("triton", "I0229 10:00:00.5 1 a.cc:1] x", datetime(2026, 3, 1), None),
    ],
)
def test_times_without_a_year_over_new_year(name: PresetName, line: str, read: datetime, time: str | None) -> None:
    """The year before or behind the one it is read in, where that is nearer; a day that is in none has no time."""
    (found,), _ = parsed([line], [name], read_at_ns=int(read.replace(tzinfo=UTC).timestamp()) * 1_000_000_000)
    assert found["@timestamp"] == (time or f"{read.isoformat()}.000Z")
    assert found["labels"] == ({"timezone": "assumed"} if time else {"timestamp": "read"})


@given(st.text(min_size=2))
def test_message_in_quotes_is_what_was_quoted(message: str) -> None:
    """Triton writes messages as JSON strings: whatever is in one comes out, and the line stays as it was."""
    line = f"I1122 10:00:00.123456 1 server.cc:592] {json.dumps(message)}"
    (found,), _ = parsed([line], ["triton"])
    assert (found["message"], found["fields"]["line"]) == (message, line)


LINES = [line for _, line, _ in _rows()]


@st.composite
def _damaged(draw: st.DrawFn) -> str:
    """A real line, cut, doubled or with something else in it."""
    line = draw(st.sampled_from(LINES))
    begin, end = sorted((draw(st.integers(0, len(line))), draw(st.integers(0, len(line)))))
    return line[:begin] + draw(st.text(max_size=5) | st.just(line[begin:end] * 2)).replace("\n", " ") + line[end:]


@given(st.lists(_damaged(), min_size=1, max_size=8), st.sampled_from(NAMES))
def test_any_line_becomes_a_document(lines: list[str], name: PresetName) -> None:
    """Nothing raises, nothing is lost, and the whole line is in the document: as the message, or beside it."""
    raw = [line.encode(errors="replace") for line in lines]
    found, counts = parsed(raw, [name])
    assert len(found) == len(lines) - counts.dropped.get("empty", 0)
    kept = [document.get("fields", {}).get("line") or document["message"] for document in found]
    # A byte order mark and NULs before a line belong to none.
    assert [text.lstrip("\ufeff\0") for text in kept] == [
        line.decode().lstrip("\ufeff\0") for line in raw if line.strip()
    ]


HOSTILE = [
    "INFO:     " + "1:" * 300_000,
    'INFO:     1.1.1.1:1 - "GET ' + "/?" * 300_000,
    "INFO 11-22 10:00:00 a.py:1] Generated response a: " + ", finish_reason: " * 50_000,
    "INFO 11-22 10:00:00 a.py:1] Received request " + "a" * 600_000,
    "INFO 11-22 10:00:00 a.py:1] Avg prompt throughput: 1 tokens/s, Avg generation throughput: 1 tokens/s, "
    "Running: 1 reqs, KV fetch: " + "1 waiting, " * 60_000,
    "INFO 11-22 10:00:00 a.py:1] SpecDecoding metrics: " + "Avg Draft acceptance rate: 1%" * 20_000,
    "2026-11-22T10:00:00+0000 [INFO] [a] " + " (trace=" * 100_000,
    "2026-11-22T10:00:00+0000 [INFO] [a] x (trace=" + "a" * 600_000,
    "2026-11-22 10:00:00.123 1 kserve INFO [" + "a():" * 200_000,
    "2026-11-22 10:00:00.123 kserve.trace requestId: " + "a, preprocess_ms: " * 40_000,
    "2026-11-22T10:00:00,123 [INFO ] W-9000-" + "a_" * 300_000 + " MODEL_LOG - ",
    "2026-11-22T10:00:00,123 [INFO ] W-1-a_1 TS_METRICS - a.b:1|#" + ",|#" * 200_000,
    "2026-11-22T10:00:00,123 - W-1-" + "a_1.ms:1" * 80_000,
    "2026-11-22T10:00:00,123 - a.b:1|#WorkerName:W-1-" + "a_" * 300_000 + "|#hostname:a",
    "2026-11-22 10:00:00.1: I a.cc:1] Successfully " + "{name: " * 100_000,
    "2026-11-22 10:00:00.1: I a.cc:1] " + "{name: a version: " * 40_000,
    "I1122 10:00:00.123456 1 a.cc:1] successfully loaded '" + "a'" * 300_000,
    'I1122 10:00:00.123456 1 a.cc:1] "' + '\\"' * 300_000 + "x",
    "I1122 10:00:00.123456 1 a.cc:1] HTTP request: 0 " + "/v2/models/a" * 50_000 + " ",
    "I1122 10:00:00.123456 1 a.cc:1] [request id: a] prepared: [0] request id: " + "a, model: " * 60_000,
    '1.1.1.1 - - [22/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 1 "' + '\\"' * 300_000,
    '1.1.1.1 - - [22/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 1 "' + "a" * 600_000,
    "\x1b[" * 300_000,
    "[" * 600_000,
    " " * 600_000 + "x",
    "A" * 600_000,
]


@pytest.mark.parametrize("name", NAMES)
def test_hostile_lines_take_no_more_than_linear_time(name: PresetName) -> None:
    """No form goes back and forth: lines that almost fit, far longer than any real one, are over at once. (One that did
    would not come to an end.)"""
    way = preset(name).way(None)
    for line in HOSTILE:
        way(line, 0)
