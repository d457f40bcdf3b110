"""Which data stream a record goes to, and which index template covers it.

A stream in the queue is ``<dataset>-<namespace>``, where a dataset holds no hyphen. In Elasticsearch its name is what
``data_stream`` in the configuration makes of it, ``logs-<dataset>-<namespace>`` unless told otherwise. Names are kept
as they are; only where one stands in an address it is quoted (``segment``).
"""

from urllib.parse import quote

OWN_DATASETS = "modeltail.*"
"""The datasets our template speaks for. Elasticsearch's own ``logs-*-*`` would take what no other template claims."""


def data_stream_name(form: str, stream: str) -> str:
    """The data stream for a stream of the queue."""
    dataset, _, namespace = stream.partition("-")
    return form.replace("{dataset}", dataset).replace("{namespace}", namespace)


def segment(name: str) -> str:
    """A name as one segment of an address's path, whatever is in it. A ``%`` is allowed in names, and what is sent
    again from a bucket brings a namespace that nobody has looked at."""
    return quote(name, safe="", errors="replace")


def index_pattern(form: str) -> str:
    """The pattern that every data stream of this form matches, as narrow as can be."""
    return form.replace("{dataset}", OWN_DATASETS).replace("{namespace}", "*")


def template_name(pattern: str) -> str:
    """The name of the index template for a pattern: two agents with the same form of names share one, others do not."""
    return pattern.replace("*", "").strip(".-_") or "modeltail"
