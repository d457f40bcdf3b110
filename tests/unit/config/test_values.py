"""Scalars become what their setting is, and nothing else."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import pattern, units
from agent.config.environment import expand
from tests.unit.config.reading import mistakes, settings


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("version: 1.10", "version", "1.10"),
        ('version: "1.10"', "version", "1.10"),
        ("version: 0x1F", "version", "0x1F"),
        ("version: 2026-11-23", "version", "2026-11-23"),
        ("version: 12:30", "version", "12:30"),
        ("name: no", "name", "no"),
        ("name: 'null'", "name", "null"),
        ('name: ""', "name", ""),
        ("version:", "version", None),
        ("version: ~", "version", None),
        ("version: null", "version", None),
        ("version: |\n  two\n  lines\n", "version", "two\nlines\n"),
        ("count: 7", "count", 7),
        ('count: "7"', "count", 7),
        ("ratio: 1", "ratio", 1.0),
        ("ratio: -1.5e3", "ratio", -1500.0),
        ("on: yes", "on", True),
        ("on: TRUE", "on", True),
        ("on: 'off'", "on", False),
        ("mode: drop_oldest", "mode", "drop_oldest"),
        ("size: 64MiB", "size", 64 * 2**20),
        ("age: 1.5h", "age", 5400.0),
        ("limit: auto", "limit", "auto"),
        ("limit: 1 KiB", "limit", 1024),
        ("zone: local", "zone", "local"),
        ("zone: UTC", "zone", "UTC"),
        ("folder: /a/b", "folder", Path("/a/b")),
        ("labels: {a: 1.10, no: yes}", "labels", {"a": "1.10", "no": "yes"}),
        ("from: oldest", "from_", "oldest"),
        ("name: 3\n# comment\n", "name", "3"),
        ("\ufeffname: 3", "name", "3"),
    ],
)
def test_text_has_the_type_of_its_setting(text: str, field: str, value: object) -> None:
    """The struct says what a scalar is; quotes make no difference, except that a quoted null is text."""
    got = getattr(settings(text), field)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("count: many", "1:8: count: must be a whole number, not `many`"),
        ("count: 1.5", "1:8: count: must be a whole number, not `1.5`"),
        ("count: 0", "1:8: count: must be at least 1, not `0`"),
        ("count: 11", "1:8: count: must be at most 10, not `11`"),
        ("count: 99999999999999999999999999", "1:8: count: must be a whole number, not `99999999999999999999999999`"),
        ("count:", "1:7: count: has no value; give it one, or remove the line"),
        ("count: [1]", "1:8: count: must be one value, not a list"),
        ("count: {a: 1}", "1:8: count: must be one value, not a mapping (`key: value`)"),
        ("ratio: .nan", "1:8: ratio: must be a number, not `.nan`"),
        ("ratio: 1e999", "1:8: ratio: must be a number, not `1e999`"),
        ("on: maybe", "1:5: on: must be `true` or `false`, not `maybe`"),
        (
            "mode: drop_oldst",
            "1:7: mode: must be `block` or `drop_oldest`, not `drop_oldst`; did you mean `drop_oldest`?",
        ),
        (
            "size: 5 parsecs",
            "1:7: size: must be a size, such as `64MiB` or `1.5 GB` (without a unit: bytes), not `5 parsecs`",
        ),
        ("size: -1", "1:7: size: must be a size, such as `64MiB` or `1.5 GB` (without a unit: bytes), not `-1`"),
        (
            "age: 5 fortnights",
            "1:6: age: must be a duration, such as `100ms`, `5s`, `15m`, `1.5h` or `7d` (without a unit: seconds), "
            "not `5 fortnights`",
        ),
        (
            "limit: much",
            "1:8: limit: must be `auto` or a size, such as `64MiB` or `1.5 GB` (without a unit: bytes), not `much`",
        ),
        (
            "zone: Europe/Pariss",
            "1:7: zone: must be `local`, `UTC` or the name of a time zone, such as `Europe/Paris`, "
            "not `Europe/Pariss`; did you mean `Europe/Paris`?",
        ),
        (
            "zone: ../../etc/passwd",
            "1:7: zone: must be `local`, `UTC` or the name of a time zone, such as `Europe/Paris`, "
            "not `../../etc/passwd`",
        ),
        ('folder: ""', "1:9: folder: must be the path of a file or folder, not ``"),
        ("name: [x]", "1:7: name: must be one value, not a list"),
        ("parts: [{type: tail, paths: []}]", "1:29: parts[0].paths: must be not empty"),
        (
            "parts: [{type: tail, paths: [a, b, c, d]}]",
            "1:29: parts[0].paths: must be at most 3 values long",
        ),
        (
            "parts: [{type: tail, paths: a, lines: ['(']}]",
            "1:40: parts[0].lines[0]: must be a regular expression (RE2 syntax): missing ): (, not `(`",
        ),
        (
            "parts: [{type: send, hosts: [es:9200]}]",
            "1:30: parts[0].hosts[0]: must be such as `https://es:9200`, not `es:9200`",
        ),
    ],
)
def test_wrong_value_is_told_with_what_would_be_right(text: str, problem: str) -> None:
    """One sentence: where, which setting, what it must be, what is there."""
    assert mistakes(text) == [f"a.yaml:{problem}"]


def test_one_value_is_a_list_of_one() -> None:
    """``paths: /logs/*.log`` needs no brackets."""
    (part,) = settings("parts: [{type: tail, paths: /logs/*.log, lines: a+}]").parts
    assert (part.paths, part.lines) == (["/logs/*.log"], ["a+"])  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("262144", 262144),
        ("1B", 1),
        ("1k", None),
        ("1kB", 1000),
        ("10MB", 10_000_000),
        ("10mb", 10_000_000),
        ("256KiB", 262144),
        ("1.5 GiB", 3 * 2**29),
        ("0.5KiB", 512),
        ("0.1B", None),
        ("1 TiB", 2**40),
        ("2000000 TiB", None),
        ("", None),
        ("KiB", None),
        ("1e3", None),
        ("٣", None),
    ],
)
def test_sizes(text: str, value: int | None) -> None:
    """As people write them; what does not come out as whole bytes is refused."""
    if value is None:
        with pytest.raises(ValueError, match=r"size|bytes"):
            units.size(text)
    else:
        assert units.size(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0.0),
        ("5", 5.0),
        ("100ms", 0.1),
        ("250us", 0.00025),
        ("5s", 5.0),
        ("15m", 900.0),
        ("15min", 900.0),
        ("1.5h", 5400.0),
        ("7d", 604800.0),
        ("2 w", 1209600.0),
        ("5S", None),
        ("1h30m", None),
        ("-1s", None),
        ("99999d", None),
        ("inf", None),
    ],
)
def test_durations(text: str, value: float | None) -> None:
    """As people write them; never negative, never endless."""
    if value is None:
        with pytest.raises(ValueError, match="duration"):
            units.duration(text)
    else:
        assert units.duration(text) == value


@given(st.integers(0, 2**60))
def test_shown_size_reads_back(value: int) -> None:
    """What messages and the reference show can be written into the file."""
    assert units.size(units.show_size(value)) == value


@given(st.integers(0, 10**11))
def test_shown_duration_reads_back(millis: int) -> None:
    """What messages and the reference show can be written into the file."""
    assert math.isclose(units.duration(units.show_duration(millis / 1000)), millis / 1000)


@given(st.text())
def test_units_refuse_or_answer(text: str) -> None:
    """No text makes a reader of units do anything but answer or raise ``ValueError``."""
    for reader in (units.size, units.duration, units.integer, units.decimal, units.switch):
        try:
            value = reader(text)
        except ValueError:
            continue
        assert math.isfinite(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("${A}", "1"),
        ("a${A}b${B}c", "a1bc"),
        ("${B:-two}", "two"),
        ("${C:-two}", "two"),
        ("${A:-two}", "1"),
        ("${C:-}", ""),
        ("${C:-a:-b}", "a:-b"),
        ("$A", "$A"),
        ("100$", "100$"),
        ("$${A}", "${A}"),
        ("$$${A}", "$${A}"),
        ("${REFERS}", "${A}"),
    ],
)
def test_variables_are_filled_in(text: str, value: str) -> None:
    """Once, left to right; what a variable holds is not looked at again."""
    assert expand(text, {"A": "1", "B": "", "REFERS": "${A}"}) == value


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("${C}", "the environment has no variable `C`; set it, or give a default with `${C:-…}`"),
        ("${A", "a `${` is not closed by a `}`; write `$${` for the two characters themselves"),
        (
            "${}",
            "`${}` is neither `${NAME}` nor `${NAME:-default}`; write `$${` for the two characters themselves",
        ),
        (
            "${A-b}",
            "`${A-b}` is neither `${NAME}` nor `${NAME:-default}`; write `$${` for the two characters themselves",
        ),
    ],
)
def test_wrong_reference_is_told(text: str, sentence: str) -> None:
    """With what to write instead."""
    assert mistakes(f"version: '{text}'", {"A": "1"}) == [f"a.yaml:1:10: version: {sentence}"]


def test_variable_has_the_type_of_its_setting() -> None:
    """A variable's text is read as if it were in the file, but cannot become structure."""
    got = settings("count: ${N}\nversion: ${V}\nage: ${E:-}\non: ${O}", {"N": "3", "V": "[a, b]: {c}", "O": "yes"})
    assert (got.count, got.version, got.age, got.on) == (3, "[a, b]: {c}", None, True)


def test_wrong_variable_is_not_printed() -> None:
    """The message shows the reference, not what it stands for."""
    assert mistakes("count: ${N}", {"N": "hunter2"}) == [
        "a.yaml:1:8: count: must be a whole number, not `${N}` as the environment fills it in"
    ]


@pytest.mark.parametrize(
    ("expression", "line", "found"),
    [
        ("GET /health", b"GET /healthz 200", True),
        ("^a.c$", b"abc", True),
        ("é+", "caféé".encode(), True),
        ("(?i)error", b"an ERROR", True),
        ("b", b"\xff\xfeb", True),
        ("^.b", b"\xffb", False),
        (r"\bx\b", b"xx", False),
    ],
)
def test_patterns_search_bytes(expression: str, line: bytes, found: bool) -> None:
    """Lines are bytes, patterns are text; bytes that are not UTF-8 match nothing and stop nothing."""
    assert bool(pattern.compile(expression).search(line)) is found


@pytest.mark.parametrize("expression", ["(?=a)", "(?<!a)b", r"(a)\1", "(", "a{1001}{1001}", "a" * 5000])
def test_patterns_that_could_take_for_ever_are_refused(expression: str) -> None:
    """Look-around, back-references, giants."""
    with pytest.raises(ValueError, match="regular expression"):
        pattern.compile(expression)


def test_the_classic_trap_takes_no_time() -> None:
    """``(a+)+$`` on a long line of ``a`` would take a backtracking engine longer than the universe is old."""
    assert not pattern.compile("^(a+)+$").search(b"a" * 50_000 + b"b")
