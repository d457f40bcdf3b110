"""The index template: how documents are mapped and kept. The one source; ``config/elasticsearch`` holds it as a file.

    python -m agent.outputs.elasticsearch.template > config/elasticsearch/logs-modeltail.json

Written so that no record is refused for its shape where Elasticsearch allows that at all:

* Payloads, labels and unknown fields are ``flattened``: one field each, whatever keys they hold, up to 900 levels
  deep. Values over ``ignore_above`` are not searchable by that value but are in the document.
* ``ml.metrics`` takes numbers under any name, dots included; what is no number is kept and not indexed.
* Other fields are those of the Elastic Common Schema that modeltail fills; ``dynamic: false`` keeps all else in the
  document, not indexed.
* ``event.original`` holds a refused document as one string of any length.

``index.mode: standard`` with stored source gives back every digit as it was written; synthetic source would rewrite
numbers and times. A lifecycle is asked for, because without one a data stream never rolls over. The template applies
to what is created after it: a data stream that exists takes a new version with its next rollover.
"""

import json
import math
import sys
from typing import Any, Final

from agent.outputs.elasticsearch.names import template_name

VERSION: Final = 2
"""Grows with every change of the template. An agent replaces an older template of ours, never a newer one."""

PRIORITY: Final = 250
"""Above Elasticsearch's own ``logs-*-*`` (100) and what its integrations install (200)."""

DEFAULT_PATTERN: Final = "logs-modeltail.*-*"
MARK: Final = "modeltail_template"
"""Key in the mapping's ``_meta`` that tells our template from others, with our version as its value."""

_KEYWORD: Final = {"type": "keyword", "ignore_above": 1024}
_TEXT: Final = {"type": "text", "norms": False}
_LONG: Final = {"type": "long", "ignore_malformed": True}
_DATE: Final = {"type": "date", "ignore_malformed": True}
FLATTENED: Final = {"type": "flattened", "depth_limit": 900, "ignore_above": 1024}

FIELDS: Final[dict[str, dict[str, Any]]] = {
    "@timestamp": {"type": "date"},
    "message": _TEXT,
    "log.level": _KEYWORD,
    "log.logger": _KEYWORD,
    "log.file.path": _KEYWORD,
    "log.offset": _LONG,
    "log.iostream": _KEYWORD,
    "log.syslog.priority": _LONG,
    "log.syslog.facility.code": _LONG,
    "log.syslog.severity.code": _LONG,
    "log.syslog.version": _KEYWORD,
    "log.syslog.hostname": _KEYWORD,
    "log.syslog.appname": _KEYWORD,
    "log.syslog.procid": _KEYWORD,
    "log.syslog.msgid": _KEYWORD,
    "log.syslog.structured_data": FLATTENED,
    "log.origin.file.name": _KEYWORD,
    "log.origin.file.line": _LONG,
    "log.origin.function": _KEYWORD,
    "error.type": _KEYWORD,
    "error.code": _KEYWORD,
    "error.id": _KEYWORD,
    "error.message": _TEXT,
    "error.stack_trace": _TEXT,
    "event.id": _KEYWORD,
    "event.created": _DATE,
    "event.dataset": _KEYWORD,
    "event.module": _KEYWORD,
    "event.kind": _KEYWORD,
    "event.category": _KEYWORD,
    "event.type": _KEYWORD,
    "event.action": _KEYWORD,
    "event.outcome": _KEYWORD,
    "event.duration": _LONG,
    "event.severity": _LONG,
    "event.original": {"type": "keyword", "index": False, "doc_values": False},
    "data_stream.type": _KEYWORD,
    "data_stream.dataset": _KEYWORD,
    "data_stream.namespace": _KEYWORD,
    "ecs.version": _KEYWORD,
    "host.name": _KEYWORD,
    "host.hostname": _KEYWORD,
    "host.id": _KEYWORD,
    "host.architecture": _KEYWORD,
    "agent.name": _KEYWORD,
    "agent.type": _KEYWORD,
    "agent.version": _KEYWORD,
    "agent.id": _KEYWORD,
    "container.id": _KEYWORD,
    "container.name": _KEYWORD,
    "container.image.name": _KEYWORD,
    "container.image.tag": _KEYWORD,
    "orchestrator.type": _KEYWORD,
    "orchestrator.namespace": _KEYWORD,
    "orchestrator.cluster.name": _KEYWORD,
    "orchestrator.resource.name": _KEYWORD,
    "orchestrator.resource.type": _KEYWORD,
    "kubernetes.namespace": _KEYWORD,
    "kubernetes.pod.name": _KEYWORD,
    "kubernetes.pod.uid": _KEYWORD,
    "kubernetes.node.name": _KEYWORD,
    "kubernetes.container.name": _KEYWORD,
    "service.name": _KEYWORD,
    "service.version": _KEYWORD,
    "service.environment": _KEYWORD,
    "service.node.name": _KEYWORD,
    "process.pid": _LONG,
    "process.name": _KEYWORD,
    "process.command_line": _KEYWORD,
    "process.exit_code": _LONG,
    "process.thread.id": _LONG,
    "process.thread.name": _KEYWORD,
    "trace.id": _KEYWORD,
    "span.id": _KEYWORD,
    "transaction.id": _KEYWORD,
    "user.id": _KEYWORD,
    "user.name": _KEYWORD,
    "client.ip": {"type": "ip", "ignore_malformed": True},
    "client.port": _LONG,
    "source.ip": {"type": "ip", "ignore_malformed": True},
    "source.port": _LONG,
    "source.address": _KEYWORD,
    "http.version": _KEYWORD,
    "http.request.id": _KEYWORD,
    "http.request.method": _KEYWORD,
    "http.request.body.bytes": _LONG,
    "http.response.status_code": _LONG,
    "http.response.body.bytes": _LONG,
    "url.path": _KEYWORD,
    "url.query": _KEYWORD,
    "url.original": _KEYWORD,
    "user_agent.original": _KEYWORD,
    "ml.model.name": _KEYWORD,
    "ml.model.version": _KEYWORD,
    "ml.model.stage": _KEYWORD,
    "ml.model.framework": _KEYWORD,
    "ml.model.uri": _KEYWORD,
    "ml.model.sha256": _KEYWORD,
    "ml.inference.id": _KEYWORD,
    "ml.inference.phase": _KEYWORD,
    "ml.inference.batch_size": _LONG,
    "ml.inputs": FLATTENED,
    "ml.outputs": FLATTENED,
    "ml.metrics": {"type": "object", "subobjects": False, "dynamic": True},
    "gen_ai.operation.name": _KEYWORD,
    "gen_ai.system": _KEYWORD,
    "gen_ai.request.model": _KEYWORD,
    "gen_ai.response.id": _KEYWORD,
    "gen_ai.response.model": _KEYWORD,
    "gen_ai.response.finish_reasons": _KEYWORD,
    "gen_ai.usage.input_tokens": _LONG,
    "gen_ai.usage.output_tokens": _LONG,
    "gen_ai.usage.cache_read.input_tokens": _LONG,
    "gen_ai.usage.reasoning.output_tokens": _LONG,
    "tags": _KEYWORD,
    "labels": FLATTENED,
    "fields": FLATTENED,
}

_METRICS: Final = {
    "path_match": "ml.metrics.*",
    "match_mapping_type": "*",
    "mapping": {"type": "double", "ignore_malformed": True},
}


def nested(fields: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Mappings by dotted path as mappings within each other."""
    root: dict[str, Any] = {}
    for path, mapping in fields.items():
        *parents, name = path.split(".")
        properties = root
        for parent in parents:
            properties = properties.setdefault(parent, {}).setdefault("properties", {})
        properties[name] = dict(mapping)
    return root


def index_template(pattern: str = DEFAULT_PATTERN, retention_secs: float | None = None) -> dict[str, Any]:
    """The body of ``PUT _index_template/<name>`` for the data streams of this pattern. Retention is rounded up to whole
    seconds.
    """
    lifecycle: dict[str, Any] = {"enabled": True}
    if retention_secs is not None:
        lifecycle["data_retention"] = f"{math.ceil(retention_secs)}s"
    return {
        "index_patterns": [pattern],
        "priority": PRIORITY,
        "version": VERSION,
        "data_stream": {},
        "_meta": {
            "managed_by": "modeltail",
            "description": "Records of machine-learning models, collected by modeltail",
        },
        "template": {
            "lifecycle": lifecycle,
            "settings": {
                "index.mode": "standard",
                "index.codec": "best_compression",
                "index.mapping.source.mode": "stored",
                "index.mapping.total_fields.limit": 2000,
                "index.mapping.total_fields.ignore_dynamic_beyond_limit": True,
            },
            "mappings": {
                "_meta": {MARK: VERSION},
                "dynamic": False,
                "date_detection": False,
                "numeric_detection": False,
                "dynamic_templates": [{"metrics": _METRICS}],
                "properties": nested(FIELDS),
            },
        },
    }


def mark_of(mappings: object) -> int | None:
    """The version of our template these mappings come from; None when they come from another."""
    meta = mappings.get("_meta") if isinstance(mappings, dict) else None
    version = meta.get(MARK) if isinstance(meta, dict) else None
    return version if isinstance(version, int) else None


def template_file(pattern: str = DEFAULT_PATTERN) -> str:
    """The template as ``config/elasticsearch/<name>.json`` holds it, to be installed by hand."""
    return json.dumps(index_template(pattern), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(template_file())


__all__ = [
    "DEFAULT_PATTERN",
    "FIELDS",
    "FLATTENED",
    "MARK",
    "PRIORITY",
    "VERSION",
    "index_template",
    "mark_of",
    "nested",
    "template_file",
    "template_name",
]
