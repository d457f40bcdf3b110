"""Structs with every kind of setting, and a reader for texts of them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agent.config.fields import Duration, Pattern, Secret, Size, Zone
from agent.config.load import read
from agent.errors import ConfigError


class Inner(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Settings inside others."""

    batch_bytes: Annotated[Size, Meta(ge=1024)] = 4096
    batch_age: Annotated[Duration, Meta(gt=0, le=60)] = 1.0


class Tail(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="tail"):
    """One kind."""

    paths: Annotated[list[str], Meta(min_length=1, max_length=3)]
    lines: list[Pattern] = []


class Send(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="send"):
    """Another kind, with a rule over two settings."""

    hosts: list[Annotated[str, Meta(pattern="^https?://", examples=["https://es:9200"])]]
    user: str | None = None
    password: Secret | None = None
    delivery: Inner = msgspec.field(default_factory=Inner)

    def problems(self) -> Iterator[tuple[str, str]]:
        """A password needs a user."""
        if self.password is not None and self.user is None:
            yield "password", f"needs a user: {self.password} at {self.hosts[0]}"
        if self.delivery.batch_bytes == 6666:
            yield "delivery.batch_bytes", "is unlucky"


class Everything(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Every kind of setting."""

    name: str
    version: str | None = None
    count: Annotated[int, Meta(ge=1, le=10)] = 1
    ratio: float = 0.5
    on: bool = False
    mode: Literal["block", "drop_oldest"] = "block"
    size: Size = 0
    age: Duration | None = None
    limit: Literal["auto"] | Size = "auto"
    zone: Zone = "UTC"
    key: Secret | None = None
    folder: Path = Path("/tmp")  # only a name
    labels: dict[str, str] = {}
    parts: list[Tail | Send] = []
    from_: Literal["now", "oldest"] = msgspec.field(name="from", default="now")


def settings(text: str, environ: Mapping[str, str] | None = None) -> Everything:
    """What ``text`` means. ``name: x`` need not be written."""
    if "name:" not in text:
        text += "\nname: x"
    return read(Everything, text.encode(), "a.yaml", environ or {})


def mistakes(text: str | bytes, environ: Mapping[str, str] | None = None) -> list[str]:
    """The problems of ``text``; empty if there are none."""
    data = text.encode() if isinstance(text, str) else text
    if b"name:" not in data:
        data += b"\nname: x"
    try:
        read(Everything, data, "a.yaml", environ or {})
    except ConfigError as error:
        return error.problems
    return []
