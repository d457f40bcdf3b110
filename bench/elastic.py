"""What the sink says when it is asked something else than to take records: what a fresh Elasticsearch would.

It keeps what is put (templates, lifecycles, pipelines) and gives it back, so that an agent's set-up passes, and its
check of the set-up.
"""

import json
import re
from typing import Any

VERSION = "9.2.0"

_INFO = {
    "name": "sink",
    "cluster_name": "bench",
    "cluster_uuid": "AAAAAAAAAAAAAAAAAAAAAA",
    "version": {"number": VERSION, "build_flavor": "default", "build_type": "tar", "lucene_version": "10.3.1"},
    "tagline": "You Know, for Search",
}
_HEALTH = {"cluster_name": "bench", "status": "green", "timed_out": False, "number_of_nodes": 1}
_SIMULATE = re.compile(r"/_index_template/_simulate(?:_index)?/(.+)")
_STORED = re.compile(r"/(_index_template|_component_template|_ilm/policy|_ingest/pipeline|_data_stream)/([^/]+)")


class Cluster:
    """The settings a cluster would hold. ``answer`` takes one request and gives status and body."""

    def __init__(self) -> None:
        self._stored: dict[tuple[str, str], Any] = {}

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Status and JSON body for a request that is not a bulk."""
        path = path.partition("?")[0].rstrip("/") or "/"
        if path == "/":
            return 200, _INFO
        if path.startswith(("/_cluster/health", "/_cat/health")):
            return 200, _HEALTH
        if path.startswith("/_security/user/_has_privileges"):
            return 200, {"username": "bench", "has_all_requested": True, "cluster": {}, "index": {}, "application": {}}
        if match := _SIMULATE.fullmatch(path):
            return 200, {"template": self._applied(match[1]), "overlapping": []}
        if match := _STORED.fullmatch(path):
            return self._setting(method, match[1], match[2], body)
        return 404, {
            "error": {"type": "resource_not_found_exception", "reason": "not known to the sink"},
            "status": 404,
        }

    def _setting(self, method: str, kind: str, name: str, body: bytes) -> tuple[int, Any]:
        """One template, lifecycle or pipeline: put, asked for, or deleted."""
        if method == "PUT":
            self._stored[kind, name] = json.loads(body) if body else {}
            return 200, {"acknowledged": True}
        kept = self._stored.get((kind, name))
        if kept is None:
            return 404, {"error": {"type": "resource_not_found_exception", "reason": "no such setting"}, "status": 404}
        if method == "DELETE":
            del self._stored[kind, name]
            return 200, {"acknowledged": True}
        if kind == "_ilm/policy":
            return 200, {name: {"version": 1, **kept}}
        if kind == "_ingest/pipeline":
            return 200, {name: kept}
        one = kind.lstrip("_")
        return 200, {f"{one}s": [{"name": name, one: kept}]}

    def _applied(self, index: str) -> dict[str, Any]:
        """The template a new index of that name would get: the best match, its components laid under it."""
        best: dict[str, Any] = {}
        for (kind, _), template in self._stored.items():
            if kind == "_index_template" and any(_covers(p, index) for p in template.get("index_patterns", [])):
                best = max(best, template, key=lambda t: int(t.get("priority", -1)))
        result: dict[str, Any] = {"settings": {}, "mappings": {}, "aliases": {}}
        for name in best.get("composed_of", []):
            _lay(result, self._stored.get(("_component_template", name), {}).get("template", {}))
        _lay(result, best.get("template", {}))
        return result


def _covers(pattern: str, index: str) -> bool:
    """Whether an index pattern with ``*`` covers a name."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), index) is not None


def _lay(under: dict[str, Any], over: dict[str, Any]) -> None:
    """Merge ``over`` into ``under``, objects key by key."""
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(under.get(key), dict):
            _lay(under[key], value)
        else:
            under[key] = value
