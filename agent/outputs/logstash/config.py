"""Settings of the output `logstash`."""

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from agent.config.fields import Duration
from agent.form import Form
from agent.outputs.http_client.options import HttpOptions, has_port

Host = Annotated[
    str, Meta(pattern=r"^(https?://)?([^\s/?#@:\[\]]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[^\s?#]*)?$", max_length=2000)
]


class LogstashConfig(HttpOptions, tag_field="type", tag="logstash", kw_only=True, forbid_unknown_fields=True):
    """Logstash, by its `beats`, `http` or `tcp` input; with `lumberjack` whatever else takes what Beats send."""

    protocol: Annotated[
        Literal["lumberjack", "http", "tcp"],
        Meta(
            description="`lumberjack` for the input `beats`, `http` for the input `http`; `tcp` (lines of JSON) has no "
            "acknowledgements and loses what is on its way when a connection breaks."
        ),
    ] = "lumberjack"
    hosts: Annotated[
        list[Host],
        Meta(
            min_length=1,
            max_length=100,
            description="Where Logstash listens: `logstash:5044`, or for `http` `https://logstash:8080/path`. Several "
            "share the load, and stand in for one another.",
        ),
    ]
    tls: Annotated[bool, Meta(description="Whether `lumberjack` and `tcp` go through TLS.")] = False
    format: Annotated[
        Literal["json", "ndjson"],
        Meta(
            description="Body of an `http` request: an array, which every `http` input takes, or lines, which take an "
            "`additional_codecs` setting there."
        ),
    ] = "json"
    compress: Annotated[bool, Meta(description="Whether `lumberjack` and `http` compress what they send.")] = True
    request_timeout: Annotated[
        Duration,
        Meta(gt=0, description="How long there may be neither an acknowledgement nor another sign of life."),
    ] = 30.0

    @property
    def form(self) -> Form | None:
        """Compressed event frames, for `lumberjack`."""
        return Form.LUMBERJACK if self.protocol == "lumberjack" and self.compress else None

    @property
    def uses_tls(self) -> bool:
        """Whether any connection goes through TLS."""
        return self.tls or any(host.startswith("https://") for host in self.hosts)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Mistakes that no single field shows: the field to point at, and a sentence."""
        yield from HttpOptions.problems(self)
        if self.protocol == "http":
            yield from self._problems_of_http()
        else:
            yield from self._problems_of_sockets()
        if not self.uses_tls and (self.ca_file or self.client_cert or self.verify != "full"):
            field = "ca_file" if self.ca_file else "client_cert" if self.client_cert else "verify"
            how = "an `https://` address" if self.protocol == "http" else "`tls: true`"
            yield field, f"`{field}` needs {how}"

    def _problems_of_http(self) -> Iterator[tuple[str, str]]:
        if not all(host.startswith(("http://", "https://")) for host in self.hosts):
            yield "hosts", "with `protocol: http` a host is an `http://` or `https://` address"
        elif not all(map(has_port, self.hosts)):
            yield "hosts", "a port is a number from 1 to 65535"
        if self.tls:
            yield "tls", "with `protocol: http` the address says it: `https://…`"

    def _problems_of_sockets(self) -> Iterator[tuple[str, str]]:
        if any("/" in host for host in self.hosts):
            yield "hosts", f"with `protocol: {self.protocol}` a host is `name:port`"
        else:
            ports = {port_of(host) for host in self.hosts}
            if self.protocol == "tcp" and None in ports:
                yield "hosts", "with `protocol: tcp` every host needs its port: `name:port`"
            if not all(port is None or 0 < port < 65536 for port in ports):
                yield "hosts", "a port is a number from 1 to 65535"
        for field, is_set in (
            ("username", self.username is not None or self.password is not None),
            ("headers", bool(self.headers)),
            ("proxy", self.proxy is not None),
            ("format", self.format != "json"),
        ):
            if is_set:
                yield field, f"`{field}` is for `protocol: http`"


def port_of(host: str) -> int | None:
    """The port of ``name:port`` or ``[address]:port``; None when there is none."""
    port = host.rpartition("]")[2].rpartition(":")[2] if ":" in host.rpartition("]")[2] else ""
    return int(port) if port else None
