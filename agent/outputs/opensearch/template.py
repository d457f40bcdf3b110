"""The index template for OpenSearch. The one source; ``config/opensearch`` holds it as a file.

    python -m agent.outputs.opensearch.template > config/opensearch/logs-modeltail.json

The fields are those of the template for Elasticsearch. What OpenSearch has in another way:

* Payloads, labels and unknown fields are ``flat_object``, of any depth. It has no ``ignore_above``: a single value of
  more than 32,766 bytes in it refuses the document, which then is rescued.
* ``ml.metrics`` takes numbers. Names with dots are paths here, for want of ``subobjects``: where one metric is a number
  another cannot lie below it, and such a document is rescued. So is one that would bring the index over its limit of
  fields; there is no ``ignore_dynamic_beyond_limit``.
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


def _fields() -> dict[str, dict[str, Any]]:
    fields = {name: {"type": "flat_object"} if field == FLATTENED else field for name, field in FIELDS.items()}
    # Of what lies in it, what the templates below name is mapped, and nothing else.
    return fields | {"ml.metrics": {"type": "object", "dynamic": "false_allow_templates"}}


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
                    for kind in ("long", "double")
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
