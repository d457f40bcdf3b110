"""From an input's settings to its parser."""

from collections.abc import Sequence

from agent.processors.normalise.times import zone_of
from agent.processors.parse.config import CsvParse, KeyValueParse, LogfmtParse, ParseConfig, PresetName, RegexParse
from agent.processors.parse.parser import Parser, Way


def parser_of(presets: Sequence[PresetName], parse: ParseConfig | None, timezone: str) -> Parser:
    """What takes the lines of an input apart: the presets in their order, then what the operator described. Only the
    latter marks lines that do not fit: servers print other things too. Imports what it needs, and only that."""
    zone = zone_of(timezone)
    ways: list[Way] = []
    for name in presets:
        from agent.processors.parse.presets import preset

        ways.append(preset(name).way(zone))
    match parse:
        case RegexParse():
            from agent.processors.parse.regex import RegexWay

            ways.append(RegexWay(parse, zone))
        case LogfmtParse():
            from agent.processors.parse.pairs import LogfmtWay

            ways.append(LogfmtWay(parse, zone))
        case KeyValueParse():
            from agent.processors.parse.pairs import KeyValueWay

            ways.append(KeyValueWay(parse, zone))
        case CsvParse():
            from agent.processors.parse.rows import CsvWay

            ways.append(CsvWay(parse, zone))
        case None:
            pass
    return Parser(ways, marks=parse is not None)
