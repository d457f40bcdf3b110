"""What a body is, by its ``Content-Type``; where that says nothing, by how it begins."""

import re
from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from agent.inputs.http.answers import Refusal


class Media(Enum):
    """How a body is read."""

    JSON = auto()
    """One object, an array of objects, or (tolerated) an object per line."""
    LINES = auto()
    """A JSON object per line."""
    TEXT = auto()
    """Plain lines; those that are JSON objects are read as such."""
    UNKNOWN = auto()
    """To be told by how the body begins."""


_JSON: Final = {"application/json", "text/json"}
_LINES: Final = {
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonl",
    "application/jsonlines",
    "application/x-jsonlines",
}
_UNKNOWN: Final = {"", "application/octet-stream", "application/x-www-form-urlencoded"}
"""What clients send when nobody told them: curl's default is the last."""
_CHARSETS: Final = {"utf-8", "utf8", "us-ascii", "ascii"}
_CHARSET: Final = re.compile(r';\s*charset\s*=\s*"?([^";\s]+)', re.IGNORECASE)
_ARRAY: Final = re.compile(rb"\s*\[\s*[{\]]")


def media_of(headers: Mapping[str, str]) -> Media:
    """Raises ``Refusal`` for what is not read here."""
    header = headers.get("Content-Type", "")
    charset = _CHARSET.search(header)
    if charset and charset[1].lower() not in _CHARSETS:
        raise Refusal(415, f"the charset {charset[1]!r} is not understood; send UTF-8")
    kind = header.partition(";")[0].strip().lower()
    if kind in _JSON or kind.endswith("+json"):
        return Media.JSON
    if kind in _LINES:
        return Media.LINES
    if kind in _UNKNOWN:
        return Media.UNKNOWN
    if kind.startswith("text/"):
        return Media.TEXT
    raise Refusal(415, "this Content-Type is not understood; send application/json, application/x-ndjson or text/plain")


def media_by_beginning(body: bytes) -> Media:
    """A line of text may begin with a bracket too (``[INFO] …``): only what holds an object is taken for an array."""
    if body[:64].lstrip().startswith(b"{") or _ARRAY.match(body[:4096]):
        return Media.JSON
    return Media.TEXT
