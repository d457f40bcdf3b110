"""Log lines that no sensible model would write. Some day one does."""

import json
import random
from collections.abc import Iterator

_PLACES = (  # noqa: SIM905  # what the normaliser looks for and the mapping knows; a list of lines would read worse
    "timestamp @timestamp level message logger inputs outputs metrics latency_ms duration request_id batch_size model "
    "exc_info error trace trace_id host event labels fields ml log service tags data_stream ecs gen_ai x extra"
).split()
_KEYS = ["", " ", ".", "..", "a.", ".a", "a..b", "a.b.c", "\u0000", "a\u0000b", "\n", "k" * 40_000, '"', "\\", "_id"]
_KEYS += ["_source", "_index", "é", "\U0001f600", "\ud800", "\u2028", "__proto__", "a" * 300, "@timestamp"]
_NUMBERS = ["1e400", "-1e400", "1e-400", "-0.0", "1.10", "1E+2", "9007199254740993", "0.1000000000000000055"]
_NUMBERS += ["NaN", "Infinity", "-Infinity"]
_NUMBERS += ["9" * 1200, "0." + "1" * 1200, "1e99999999", "-9223372036854775809", "18446744073709551616"]
_TIMES = ["yesterday", "", "2026-02-30T10:00:00Z", "2026-11-22T24:00:00Z", "2026-11-22T10:00:60Z", "-5", "0000-00-00"]
_TIMES += ["9999-12-31T23:59:59.999999999Z", "2026-11-22 10:00:00,123", "12026-01-01T00:00:00Z", "1e400"]
_PLANTED = [
    '\n{"delete":{"_id":"x"}}\n',
    '"}}\n{"index":{"_index":"planted"}}\n{"a":1}\n',
    '\r\n{"create":{}}\r\n{}\r\n',
]


def hostile_lines(count: int, seed: int) -> list[bytes]:
    """So many lines, always the same for a seed. None holds a newline; a few are not UTF-8 or not JSON."""
    rng = random.Random(seed)
    return [_line(rng, number).replace(b"\n", b" ") for number in range(count)]


def _line(rng: random.Random, number: int) -> bytes:
    members = [f'"n":{number}']
    for _ in range(rng.randint(1, 6)):
        key = json.dumps(rng.choice(_PLACES) if rng.random() < 0.8 else rng.choice(_KEYS))
        members.append(f"{key}:{_value(rng)}")
    if rng.random() < 0.1:
        members.append(rng.choice(members))
    rng.shuffle(members)
    line = ("{" + ",".join(members) + "}").encode("utf-8", "surrogatepass")
    if rng.random() < 0.03:
        at = rng.randrange(len(line))
        line = line[:at] + bytes([rng.randrange(128, 256)]) + line[at + 1 :]
    return line


def _value(rng: random.Random) -> str:
    """One value as JSON text, or nearly."""
    kinds = [_plain, _number, _time, _planted, _deep, _odd_keys, _mixed, _twice]
    if rng.random() < 0.06:
        kinds = [_long, _wide, _broad]
    return rng.choice(kinds)(rng)


def _plain(rng: random.Random) -> str:
    return rng.choice(
        ["null", "true", "false", "1", '"text"', '""', "[]", "{}", '"\\ud800"', '"\\u0000"', '"\\/"', "[[]]"]
    )


def _number(rng: random.Random) -> str:
    return rng.choice(_NUMBERS)


def _time(rng: random.Random) -> str:
    return json.dumps(rng.choice(_TIMES))


def _planted(rng: random.Random) -> str:
    return json.dumps(rng.choice(_PLANTED))


def _deep(rng: random.Random) -> str:
    levels = rng.choice([5, 25, 100, 200])
    before, after = rng.choice([('{"a":', "}"), ("[", "]"), ('{"":', "}"), ('{"a.b":[', "]}")])
    return before * levels + _plain(rng) + after * levels


def _odd_keys(rng: random.Random) -> str:
    return "{" + ",".join(f"{json.dumps(key)}:{_plain(rng)}" for key in rng.sample(_KEYS, rng.randint(1, 4))) + "}"


def _mixed(rng: random.Random) -> str:
    """The same field as number, text, object and list, from record to record."""
    member = rng.choice(["x", "x.y", "score"])
    return "{" + json.dumps(member) + ":" + rng.choice([_plain, _number, _deep, _odd_keys])(rng) + "}"


def _twice(rng: random.Random) -> str:
    return '{"k":' + _plain(rng) + ',"k":' + _plain(rng) + "}"


def _long(rng: random.Random) -> str:
    character = json.dumps(rng.choice("aé\U0001f600"), ensure_ascii=rng.random() < 0.5)[1:-1]
    return '"' + character * (100_000 // len(character.encode())) + '"'


def _wide(rng: random.Random) -> str:
    return "{" + ",".join(f'"k{rng.random()}":{i}' for i in range(5000)) + "}"


def _broad(rng: random.Random) -> str:
    return "[" + ",".join(_plain(rng) for _ in range(5000)) + "]"


def documents_of(lines: list[bytes], identity: bytes) -> Iterator[bytes]:
    """The same hostility as documents made without care: each line's object as ``fields``, inputs, outputs and metrics.

    ``identity`` is the rest of the document's members. Lines that are no JSON in UTF-8 are left out: no document holds
    such text.
    """
    for line in lines:
        try:
            json.loads(line, parse_constant=_refuse, parse_int=float)
        except (ValueError, RecursionError):
            continue
        payloads = b'"fields":%s,"ml":{"inputs":%s,"outputs":%s,"metrics":%s}' % (line, line, line, line)
        yield b"{" + identity + b"," + payloads + b"}"


def _refuse(name: str) -> float:
    raise ValueError(name)
