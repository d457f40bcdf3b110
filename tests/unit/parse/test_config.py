"""The settings ``parse`` and ``preset``, and their mistakes."""

import pytest

from agent.config.load import read
from agent.config.root import AgentConfig
from agent.errors import ConfigError
from agent.inputs.options import LineOptions


def _mistakes(settings: str) -> list[str]:
    text = f"inputs: [{{type: stdin, {settings}}}]\noutputs: [{{type: stdout}}]\n"
    try:
        read(AgentConfig, text.encode(), "a.yaml", {})
    except ConfigError as error:
        return [problem.partition("inputs[0].")[2] for problem in error.problems]
    return []


@pytest.mark.parametrize(
    "settings",
    [
        "preset: vllm",
        "preset: [kserve, torchserve]",
        "parse: {type: logfmt}",
        "parse: {type: regex, pattern: '(?P<a>.*)', types: {a: float}, rename: {a: ml.inference.id}}",
        "parse: {type: csv, columns: [a, b], delimiter: ;, time: {field: a, format: epoch_ms, timezone: Europe/Paris}}",
        "parse: {type: key_value, between: ': ', separator: ', '}, preset: uvicorn",
    ],
)
def test_good_settings(settings: str) -> None:
    """One preset or several, one way to take lines apart, or both."""
    assert _mistakes(settings) == []


@pytest.mark.parametrize(
    ("settings", "mistake"),
    [
        ("preset: vlm", "preset[0]: must be `bentoml`"),
        ("parse: {type: grok}", "parse.type: must be `regex`, `logfmt`, `key_value` or `csv`, not `grok`"),
        ("parse: {type: regex, pattern: '.*'}", "parse.pattern: needs a named group"),
        ("parse: {type: regex, pattern: '(?P<a>('}", "parse.pattern: must be a regular expression (RE2 syntax)"),
        (
            "parse: {type: regex, pattern: '(?P<status>.)', types: {statsu: int}}",
            "parse.types.statsu: there is no group `statsu`; did you mean `status`?",
        ),
        ("parse: {type: regex, pattern: '(?P<a>.)', rename: {b: c}}", "parse.rename.b: there is no group `b`"),
        (
            "parse: {type: csv, columns: [a], time: {field: t, format: epoch}}",
            "parse.time.field: there is no column `t`",
        ),
        ("parse: {type: csv, columns: [a, a]}", "parse.columns[1]: there is a column `a` already"),
        ("parse: {type: csv, columns: [a, b], rename: {a: b}}", "parse.rename.a: another column is called `b` too"),
        ("parse: {type: csv, columns: [a], quote: ','}", "parse.quote: must differ from `delimiter`"),
        ('parse: {type: csv, columns: [a], quote: "\\n"}', "parse.quote: must not be a line end"),
        ("parse: {type: key_value, between: ' '}", "parse.separator: must differ from `between`"),
        ("parse: {type: key_value, between: '=\"'}", 'parse.between: must not hold a `"`'),
        (
            "parse: {type: logfmt, time: {field: t, format: [epoch, '%H:%M']}}",
            "parse.time.format[1]: needs a month and a day",
        ),
        ("parse: {type: logfmt, types: {a: integer}}", "parse.types.a: must be"),
    ],
)
def test_mistakes_are_named(settings: str, mistake: str) -> None:
    """At the setting they are in, before anything starts."""
    (found,) = _mistakes(settings)
    assert found.startswith(mistake)


def test_every_input_of_lines_has_them() -> None:
    """They stand in what inputs of lines have in common."""
    assert {"parse", "preset"} <= set(LineOptions.__struct_fields__)
