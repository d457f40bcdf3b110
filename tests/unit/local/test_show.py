"""How a record looks to a person."""

from datetime import UTC

import pytest

from agent.outputs.local.show import MAX_DETAIL_CHARS, safe, show
from tests.unit.local.stored import record

TIME_US = 1_795_341_600_123_000
HEAD = "2026-11-22 10:00:00.123 -       "


def shown(document: bytes, *, color: bool = False, width: int | None = None) -> str:
    """The lines, with times in UTC."""
    return show(document, TIME_US, color=color, zone=UTC, width=width)


def test_inference_record_is_two_lines() -> None:
    """What happened, then the payloads."""
    document = record(
        "prediction served",
        log={"level": "info", "logger": "scorer.predict"},
        ml={
            "model": {"name": "fraud-scorer", "version": "3.2.0"},
            "inference": {"id": "a6a3"},
            "inputs": {"amount": 43.46, "country": "FR"},
            "outputs": {"label": "ok", "score": 0.059111},
            "metrics": {"confidence": 0.5655},
        },
        event={"duration": 37898000},
    )
    assert shown(document) == (
        "2026-11-22 10:00:00.123 INFO     fraud-scorer/3.2.0 scorer.predict: prediction served\n"
        "    outputs label=ok score=0.059111 | metrics confidence=0.5655 | inputs amount=43.46 country=FR"
        " | took 37.9 ms | id a6a3\n"
    )


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (record("m"), f"{HEAD} -: m\n"),
        (b"{}", f"{HEAD} -:\n"),
        (b"not json", "not json\n"),
        (b'{"message":"a\\ud800b"}', f"{HEAD} -: a\N{REPLACEMENT CHARACTER}b\n"),
        (record("m", service={"name": "s"}), f"{HEAD} s: m\n"),
        (
            record("m", fields={str(n): n for n in range(10)}),
            f"{HEAD} -: m\n    fields 0=0 1=1 2=2 3=3 4=4 5=5 6=6 7=7 (+2)\n",
        ),
        (
            record("m", error={"type": "ValueError", "stack_trace": "a\nb"}),
            f"{HEAD} -: m\n    error type=ValueError stack_trace=a\\nb\n",
        ),
        (record("m", event={"duration": 5}), f"{HEAD} -: m\n    took 5 ns\n"),
        (record("m", event={"duration": 61_000_000_000}), f"{HEAD} -: m\n    took 61 s\n"),
        (record("m", ml={"outputs": {"v": {"deep": [1]}}}), f'{HEAD} -: m\n    outputs v={{"deep":[1]}}\n'),
    ],
)
def test_whatever_is_missing_or_odd_is_shown_as_well_as_it_can_be(document: bytes, expected: str) -> None:
    """Nothing is required of a document."""
    assert shown(document) == expected


def test_record_cannot_drive_the_terminal() -> None:
    """Escape sequences, line ends and direction marks in any text come out as escapes."""
    evil = "\x1b]0;owned\x07\r\n\x9b31m\u202e"
    document = record(
        evil,
        log={"level": evil, "logger": evil},
        ml={"model": {"name": evil}, "inference": {"id": evil}, "outputs": {evil: evil}},
    )
    text = shown(document)
    assert text.count("\n") == 2
    assert all(character.isprintable() for character in text.replace("\n", ""))
    assert safe("\x1b[31m\n") == "\\x1b[31m\\n"


def test_colors_are_only_used_when_asked_for() -> None:
    """Levels have colours, payloads are dim."""
    document = record("m", log={"level": "error"}, fields={"a": 1})
    assert "\x1b" not in shown(document)
    assert shown(document, color=True) == (
        "\x1b[2m2026-11-22 10:00:00.123\x1b[0m \x1b[31mERROR   \x1b[0m -: m\n\x1b[2m    fields a=1\x1b[0m\n"
    )


@pytest.mark.parametrize(("width", "longest"), [(40, 40), (None, MAX_DETAIL_CHARS)])
def test_payloads_are_cut_to_the_width(width: int | None, longest: int) -> None:
    """The second line never wraps on the terminal it is meant for, and never floods a pipe."""
    line = shown(record("m", fields={f"name{n}": "v" * 60 for n in range(8)}), width=width).splitlines()[1]
    assert len(line) == longest
    assert line.endswith("…")
