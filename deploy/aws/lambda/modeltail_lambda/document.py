"""What the function has to know of a document: its id, where it goes, and its hour. The text is never touched."""

import json
import re
from datetime import UTC, datetime
from typing import NamedTuple

_ID = re.compile(r"([0-9a-f]{28})-([0-9a-f]{1,16})-([0-9a-f]{1,8})")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_CREATED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
_STREAM_PART = re.compile(r"[a-z0-9][a-z0-9_.]{0,99}")


class Document(NamedTuple):
    """One document. ``place`` is where it stands among those of its run: texts of equal length, in the order the agent
    gave the ids. ``created`` is when the agent read it (``2026-11-23T15:13:59.671Z``), empty if it does not say."""

    text: bytes
    id: str
    run: str
    place: str
    dataset: str
    namespace: str
    date: str
    hour: str
    created: str

    @property
    def stream(self) -> str:
        """Its data stream in Elasticsearch."""
        return f"logs-{self.dataset}-{self.namespace}"


class NotADocument(Exception):
    """A line that is not a document of modeltail. It is set aside, the others of its record are not held up."""


def read_document(text: bytes) -> Document:
    """The document of a line. Raises ``NotADocument``."""
    try:
        # Numbers stay text: they may have more digits than Python takes, and nobody asks for them.
        content = json.loads(text, parse_int=str, parse_float=str)
        written, stream, time = content["event"]["id"], content["data_stream"], content["@timestamp"]
        dataset, namespace = stream["dataset"], stream["namespace"]
    except RecursionError:
        raise NotADocument("it is nested too deep") from None
    except ValueError as error:
        raise NotADocument(f"it is not JSON: {error}") from error
    except KeyError as error:
        raise NotADocument(f"it has no {error}: is it from modeltail?") from None
    except TypeError:
        raise NotADocument("it is not an object with event.id, data_stream and @timestamp") from None
    run, batch, index = _matched(_ID, "event.id", written).groups()
    _matched(_STREAM_PART, "data_stream.dataset", dataset)
    _matched(_STREAM_PART, "data_stream.namespace", namespace)
    date, hour = _hour(_matched(_TIME, "@timestamp", time))
    created = content["event"].get("created")
    if not isinstance(created, str) or not _CREATED.fullmatch(created):
        created = ""
    return Document(text, written, run, f"{batch:0>16}{index:0>8}", dataset, namespace, date, hour, created)


def _hour(time: re.Match[str]) -> tuple[str, str]:
    """Day and hour in UTC."""
    local, zone = time.groups()
    if zone == "Z":
        return local[:10], local[11:13]
    try:
        moment = datetime.fromisoformat(local + zone).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise NotADocument(f"its @timestamp is no time: {error}") from error
    return f"{moment:%Y-%m-%d}", f"{moment:%H}"


def _matched(form: re.Pattern[str], name: str, value: object) -> re.Match[str]:
    found = form.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise NotADocument(f"its {name} is not one that modeltail writes: {str(value)[:100]!r}")
    return found
