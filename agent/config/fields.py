"""The kinds of value a configuration field can have beyond plain text, numbers, lists and objects.

Each is an annotated base type: the loader (``agent.config.load``) sees the ``kind`` in ``Meta.extra`` and reads what
people write (``64MiB``, ``5s``) into the base type in one fixed unit. Component structs use them and give each field a
``Meta(description=…)``, which is where the JSON Schema and ``docs/configuration.md`` take their words from.
"""

from typing import Annotated

from msgspec import Meta

Size = Annotated[int, Meta(extra={"kind": "size"})]
"""Bytes, never negative. Written ``262144``, ``256KiB``, ``1.5 GiB``, ``10MB``."""

Duration = Annotated[float, Meta(extra={"kind": "duration"})]
"""Seconds, never negative. Written ``100ms``, ``5s``, ``1.5h``, ``7d``; a bare number is seconds."""

Secret = Annotated[str, Meta(extra={"kind": "secret"})]
"""A password or key. Written as it is, as ``${ENV}``, or as ``file:/run/secrets/es``; never printed."""

Pattern = Annotated[str, Meta(extra={"kind": "pattern"})]
"""A regular expression for a linear-time engine; checked when the configuration is read."""

Zone = Annotated[str, Meta(extra={"kind": "zone"})]
"""A time zone: an IANA name (``Europe/Paris``), ``UTC`` or ``local``; checked when the configuration is read."""

QueryText = Annotated[str, Meta(extra={"kind": "query"})]
"""A query in the language of `modeltail search`; checked when the configuration is read."""

StreamPart = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_.]*$", max_length=100, examples=["default"])]
"""The dataset or namespace in a data stream's name. Elasticsearch allows neither capitals nor a hyphen in it."""
