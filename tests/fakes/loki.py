"""A Loki, as far as its push API goes (Loki 3.7, ``pkg/distributor``, ``pkg/ingester/stream.go``).

It takes lines one by one: what is too old, too new, too long or too far behind its stream it refuses, the rest of the
push it takes, and the answer is a 400 that quotes some of what was refused. Of the same line in the same stream twice
it drops the second only while it fills the same block; here that is the last line.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from tests.fakes.receiver import Receiver, Request, id_of, serve

SECOND: Final = 1_000_000_000
MAX_AGE_NS: Final = 7 * 86400 * SECOND
MAX_FUTURE_NS: Final = 600 * SECOND
HALF_CHUNK_NS: Final = 3600 * SECOND
MAX_QUOTED: Final = 10
MAX_LINE_BYTES: Final = 256 * 1024


class Loki(Receiver):
    """Keeps the lines; in ``records`` stand stream, time and line as JSON. With ``tenants`` every push
    needs one of them; ``now_ns`` is its clock if it is not the real one."""

    def __init__(self, *, tenants: frozenset[str] = frozenset(), now_ns: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.tenants = tenants
        self.now_ns = now_ns
        self.allows_metadata = True
        self.streams: dict[str, list[tuple[int, str, dict[str, str]]]] = {}
        self._newest: dict[str, int] = {}
        for _, kept in self.records:
            name, when, line = json.loads(kept)
            self.streams.setdefault(name, []).append((when, line, {}))
            self._newest[name] = max(self._newest.get(name, 0), when)

    def answer(self, request: Request) -> web.Response:
        """204 if every line was taken."""
        if request.target != "/loki/api/v1/push":
            return web.Response(status=404, text="404 page not found\n")
        if request.method != "POST":
            return web.Response(status=405)
        if self.tenants and request.headers.get("x-scope-orgid") not in self.tenants:
            return web.Response(status=401, text="no org id\n")
        streams = json.loads(request.body)["streams"]
        if not streams:
            return web.Response(status=422, text="error at least one valid stream is required for ingestion\n")
        invalid: list[str] = []
        behind: str | None = None
        for stream in streams:
            if any("\ud800" <= c <= "\udfff" for value in stream["stream"].values() for c in value):
                return web.Response(status=400, text="couldn't parse push request")
            assert stream["stream"], "a stream without labels"
            stream["stream"].setdefault("service_name", "unknown_service")
            name = (
                "{"
                + ", ".join(f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in sorted(stream["stream"].items()))
                + "}"
            )
            valid = []
            for when, line, *beside in stream["values"]:
                if why := self._invalid(name, int(when), line, bool(beside)):
                    invalid.append(why)
                else:
                    valid.append((int(when), line, beside[0] if beside else {}))
            behind = self._ingest(name, valid) or behind
        if behind is not None:
            return web.Response(status=400, text=behind + "\n")
        if invalid:
            counts = Counter(invalid)
            quoted = [f"{n} errors like: {text}" if len(invalid) > 1 else text for text, n in counts.items()]
            return web.Response(status=400, text="; ".join(quoted) + "\n")
        return web.Response(status=204)

    def _invalid(self, stream: str, when: int, line: str, has_metadata: bool) -> str | None:
        now = self.now_ns or time.time_ns()
        if when < now - MAX_AGE_NS:
            return (
                f"entry for stream '{stream}' has timestamp too old: {rfc3339(when)}, "
                f"oldest acceptable timestamp is: {rfc3339(now - MAX_AGE_NS)}"
            )
        if when > now + MAX_FUTURE_NS:
            return f"entry for stream '{stream}' has timestamp too new: {rfc3339(when)}"
        size = len(line.encode())
        if size > MAX_LINE_BYTES or id_of(line.encode()) in self.poisoned:
            return f"max entry size '{MAX_LINE_BYTES}' bytes exceeded for stream '{stream}' while adding an entry with length '{size}' bytes"  # noqa: E501
        if has_metadata and not self.allows_metadata:
            return f"stream '{stream}' includes structured metadata, but this feature is disallowed."
        return None

    def _ingest(self, name: str, entries: list[tuple[int, str, dict[str, str]]]) -> str | None:
        """Take what is not too far behind; what to answer if anything is."""
        there = self.streams.setdefault(name, [])
        refused = []
        for when, line, beside in entries:
            cutoff = self._newest.get(name, 0) - HALF_CHUNK_NS
            if when < cutoff:
                refused.append(
                    f"entry with timestamp {rfc3339(when)} ignored, reason: 'entry too far behind, entry timestamp is: "
                    f"{rfc3339(when)}, oldest acceptable timestamp is: {rfc3339(cutoff)}',\n"
                )
                continue
            self._newest[name] = max(self._newest.get(name, 0), when)
            if not there or there[-1][:2] != (when, line):
                there.append((when, line, beside))
                self.keep([(id_of(line.encode()), json.dumps([name, when, line]).encode())])
        if not refused:
            return None
        quoted = "".join(refused[:MAX_QUOTED])
        return f"{quoted}user 'fake', total ignored: {len(refused)} out of {len(entries)} for stream: {name}"


def rfc3339(when_ns: int) -> str:
    """To the second, as Loki writes them."""
    return datetime.fromtimestamp(when_ns // SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


if __name__ == "__main__":
    asyncio.run(serve(Loki(port=int(sys.argv[1]), file=Path(sys.argv[2]))))
