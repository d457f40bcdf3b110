"""Settings of ``parse`` and ``preset``, which every input of lines has."""

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agent.config.fields import Pattern, Zone

Kind = Literal["string", "int", "float", "bool", "json"]

PresetName = Literal[
    "bentoml",
    "gunicorn",
    "kserve",
    "mlserver",
    "tensorflow_serving",
    "torchserve",
    "triton",
    "uvicorn",
    "vllm",
]
"""The presets there are (``agent.processors.parse.presets``)."""

Name = Annotated[str, Meta(min_length=1, max_length=256)]
Mark = Annotated[str, Meta(min_length=1, max_length=16)]
OneCharacter = Annotated[str, Meta(min_length=1, max_length=1)]


class TimeOptions(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which part of a line is its time, and how it is written."""

    field: Annotated[Name, Meta(description="The part that holds the time.")]
    format: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=256)]],
        Meta(
            min_length=1,
            max_length=20,
            description="How it is written, as `strptime` has it (`%d/%b/%Y:%H:%M:%S %z`), or `epoch`, `epoch_ms`, "
            "`epoch_us`, `epoch_ns`; the first that fits counts. Without a year in it, the year is the one that brings "
            "the time nearest to the time of reading.",
        ),
    ]
    timezone: Annotated[
        Zone | None, Meta(description="Time zone of times written without one, in place of the input's.")
    ] = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """Formats that cannot be read."""
        from agent.processors.parse.formats import TimeFormat

        for i, text in enumerate(self.format):
            try:
                TimeFormat(text)
            except ValueError as error:
                yield f"format[{i}]", str(error)


class ParseOptions(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What every way to take lines apart can be told."""

    types: Annotated[
        dict[str, Kind],
        Meta(
            max_length=500,
            description="What parts are besides text, by name: `int`, `float`, `bool`, `json`. Names that stand for "
            "numbers (`latency_ms`, `batch_size` …) need none. A value that is not what it should be stays text.",
        ),
    ] = {}
    rename: Annotated[
        dict[str, Name],
        Meta(max_length=500, description="Other names for parts, for example `status: http.response.status_code`."),
    ] = {}
    time: Annotated[
        TimeOptions | None,
        Meta(description="The time of a line, where its name or its form is none of the usual ones."),
    ] = None

    def _unknown(self, names: "set[str]", what: str) -> Iterator[tuple[str, str]]:
        """Names of parts that no line can have."""
        from agent.config.problem import did_you_mean

        settings = [(f"types.{name}", name) for name in self.types] + [(f"rename.{name}", name) for name in self.rename]
        if self.time:
            settings.append(("time.field", self.time.field))
        for setting, name in settings:
            if name not in names:
                yield setting, f"there is no {what} `{name}`{did_you_mean(name, names)}"


class RegexParse(ParseOptions, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="regex"):
    """Lines in which a regular expression is found; its named groups are the parts."""

    pattern: Annotated[
        Pattern, Meta(description="The expression; each `(?P<name>…)` in it is a part. `^` and `$` tie it to the line.")
    ]

    def problems(self) -> Iterator[tuple[str, str]]:
        """Names that are no groups of the pattern."""
        from agent.config import pattern

        names = set(pattern.compile(self.pattern).groupindex)
        if not names:
            yield "pattern", "needs a named group, `(?P<name>…)`, for each part that is wanted"
        yield from self._unknown(names, "group")


class LogfmtParse(ParseOptions, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="logfmt"):
    """Lines that are nothing but pairs `key=value` and `key="a value"`, as Go's programs write them."""


class KeyValueParse(ParseOptions, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="key_value"):
    """Lines with pairs of a key and a value in them; what is no pair is passed over."""

    between: Annotated[Mark, Meta(description="What stands between a key and its value.")] = "="
    separator: Annotated[Mark, Meta(description="What stands between two pairs.")] = " "

    def problems(self) -> Iterator[tuple[str, str]]:
        """Separators that cannot be told apart."""
        if self.between == self.separator:
            yield "separator", "must differ from `between`"
        for setting, text in (("between", self.between), ("separator", self.separator)):
            if '"' in text:
                yield setting, 'must not hold a `"`, which goes around values'


class CsvParse(ParseOptions, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="csv"):
    """Lines of values in a fixed order; one line is one row."""

    columns: Annotated[
        list[Name], Meta(min_length=1, max_length=1000, description="Names of the columns, in their order.")
    ]
    delimiter: Annotated[OneCharacter, Meta(description="What stands between two values.")] = ","
    quote: Annotated[
        OneCharacter, Meta(description="What goes around values with a delimiter in them; doubled it is itself.")
    ] = '"'

    def problems(self) -> Iterator[tuple[str, str]]:
        """Columns of the same name; marks that cannot be told apart."""
        for i, name in enumerate(self.columns):
            if name in self.columns[:i]:
                yield f"columns[{i}]", f"there is a column `{name}` already"
        if self.delimiter == self.quote:
            yield "quote", "must differ from `delimiter`"
        for setting, text in (("delimiter", self.delimiter), ("quote", self.quote)):
            if text in "\r\n":
                yield setting, "must not be a line end"
        yield from self._unknown(set(self.columns), "column")
        keys = [self.rename.get(name, name) for name in self.columns]
        for name, key in self.rename.items():
            if keys.count(key) > 1:
                yield f"rename.{name}", f"another column is called `{key}` too"


ParseConfig = RegexParse | LogfmtParse | KeyValueParse | CsvParse
"""What ``parse`` can be, told apart by its ``type``."""
