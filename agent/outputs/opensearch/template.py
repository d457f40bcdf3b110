"""The index template for OpenSearch. The one source; ``config/opensearch`` holds it as a file.

    python -m agent.outputs.opensearch.template > config/opensearch/logs-modeltail.json

The fields are those of the template for Elasticsearch. What OpenSearch has in another way:

* Payloads and unknown fields are kept in the document and not indexed (``enabled: false``). Its ``flat_object`` has no
  limit of depth and keeps the whole path of every value: a request of 2 MB with deeply nested payloads ended a node of
  512 MB. ``labels`` are the operator's and modeltail's own, so these are ``flat_object``, searchable by any key.
* ``ml.metrics`` takes numbers under any name; what is no number is kept and not indexed. Names with dots are paths, for
  want of ``subobjects``: where one metric is a number another cannot lie below it, and such a record is rescued. So is
  one that brings more fields than an index may have, or nests its metrics more than 20 levels deep.
* The source is always stored as it was written; there is no ``index.mode``.
* No lifecycle: rolling over and deleting are Index State Management's, a plugin.
"""

import json
import sys
from typing import Any, Final

from agent.outputs.elasticsearch.template import DEFAULT_PATTERN, FIELDS, FLATTENED, MARK, PRIORITY, nested

VERSION: Final = 1
"""Grows with every change of the template. An agent replaces an older template of ours, never a newer one."""

_METRIC: Final = {"type": "double", "ignore_malformed": True}
_METRIC_KINDS: Final = ("long", "double", "string", "boolean")
"""All but objects. ``dynamic`` is true for them: with ``false_allow_templates`` a name with a dot makes OpenSearch 3.4
wait for a change of mapping that never comes."""
_KEPT: Final = {"type": "object", "enabled": False}


def _fields() -> dict[str, dict[str, Any]]:
    fields = {name: _KEPT if field == FLATTENED else field for name, field in FIELDS.items()}
    return fields | {"labels": {"type": "flat_object"}, "ml.metrics": {"type": "object", "dynamic": True}}


def index_template(pattern: str = DEFAULT_PATTERN) -> dict[str, Any]:
    """The body of ``PUT _index_template/<name>`` for the data streams of this pattern."""
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
            "settings": {"index.codec": "best_compression", "index.mapping.total_fields.limit": 2000},
            "mappings": {
                "_meta": {MARK: VERSION},
                "dynamic": False,
                "date_detection": False,
                "numeric_detection": False,
                "dynamic_templates": [
                    {
                        f"metrics_{kind}": {
                            "path_match": "ml.metrics.*",
                            "match_mapping_type": kind,
                            "mapping": _METRIC,
                        }
                    }
                    for kind in _METRIC_KINDS
                ],
                "properties": nested(_fields()),
            },
        },
    }


def template_file(pattern: str = DEFAULT_PATTERN) -> str:
    """The template as ``config/opensearch/<name>.json`` holds it, to be installed by hand."""
    return json.dumps(index_template(pattern), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(template_file())
