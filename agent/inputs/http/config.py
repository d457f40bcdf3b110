"""Settings of the ``http`` input, and what it shares with every input that answers HTTP requests."""

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from agent.config.fields import Duration, Secret, Size
from agent.inputs.listen import Address, TlsOptions, address_problem
from agent.inputs.options import LineOptions
from agent.queue.config import OnFull

MIB = 1024**2
Token = Annotated[Secret, Meta(min_length=1)]


class ReceiverOptions(LineOptions, kw_only=True, forbid_unknown_fields=True):
    """What every input that answers HTTP requests can be told."""

    listen: Address
    tls: Annotated[TlsOptions | None, Meta(description="Speak HTTPS, with this certificate.")] = None
    token: Annotated[Token | None, Meta(description="Take only requests with `Authorization: Bearer <token>`.")] = None
    max_body: Annotated[
        Size,
        Meta(ge=1024, le=256 * MIB, description="Largest body, as sent and as expanded; a larger one is answered 413."),
    ] = 16 * MIB
    max_held: Annotated[
        Size,
        Meta(
            ge=1024,
            le=4096 * MIB,
            description="Bytes of bodies held at once, over all requests; a request that would exceed it is answered "
            "429.",
        ),
    ] = 64 * MIB
    max_connections: Annotated[
        int, Meta(ge=1, le=10_000, description="Connections open at once; one more is answered 503 and closed.")
    ] = 256
    read_timeout: Annotated[
        Duration, Meta(gt=0, le=3600, description="Time for a body to arrive; then the request is answered 408.")
    ] = 30.0
    idle_timeout: Annotated[
        Duration,
        Meta(gt=0, le=3600, description="How long a connection may stay open without a complete request header."),
    ] = 75.0
    full_wait: Annotated[
        Duration,
        Meta(
            le=600,
            description="How long a request waits when the queue is full (with `on_full: block`); then it is "
            "answered 429 and nothing of it is kept.",
        ),
    ] = 5.0
    on_full: Annotated[
        OnFull,
        Meta(
            description="When the queue is full: `block` lets requests wait for `full_wait` and then answers 429; the "
            "others answer 200 and drop the oldest or the newest records, counted."
        ),
    ] = "block"

    def problems(self) -> Iterator[tuple[str, str]]:
        """What the fields' types cannot say."""
        if problem := address_problem(self.listen):
            yield "listen", problem
        if self.max_held < self.max_body:
            yield "max_held", "must be at least max_body, or a body of that size could never be taken"


class HttpConfig(ReceiverOptions, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="http"):
    """Records posted over HTTP: one JSON object, an array of them, a JSON object per line, or plain lines."""

    listen: Address = "127.0.0.1:9880"
    path: Annotated[
        str, Meta(pattern="^/", max_length=1000, description="Path that takes records; any other is answered 404.")
    ] = "/"
    on_bad_line: Annotated[
        Literal["accept_others", "refuse_all"],
        Meta(
            description="What becomes of a body in which some lines are no JSON objects though they should be: its "
            "good lines are taken, or nothing of it. The answer is 400 either way and names the bad ones."
        ),
    ] = "accept_others"
