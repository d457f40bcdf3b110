"""From the settings of an output to its connection."""

import base64
from collections.abc import Mapping, Sequence

from agent.outputs.http_client.connection import Connection, Signer
from agent.outputs.http_client.options import HttpOptions
from agent.outputs.tls import client_context


def open_connection(
    options: HttpOptions,
    addresses: Sequence[str],
    headers: Mapping[str, str] | None = None,
    authority: bytes | None = None,
    signer: Signer | None = None,
) -> Connection:
    """The connection to these addresses, with what ``headers`` has beside the configured ones, in lower case. Nothing
    is sent yet.

    ``authority`` is the certificate to trust instead of the configured ones. Raises ``Paused`` when certificates cannot
    be used.
    """
    any_tls = any(address.startswith("https:") for address in addresses)
    return Connection(
        addresses,
        {**_headers(options), **(headers or {})},
        tls=client_context(options, authority) if any_tls else None,
        proxy=options.proxy,
        request_timeout_secs=float(options.request_timeout),
        connect_timeout_secs=float(options.connect_timeout),
        max_connections=options.delivery.max_concurrency + 1,
        signer=signer,
    )


def _headers(options: HttpOptions) -> dict[str, str]:
    """The headers of every request, credentials among them."""
    headers = {"user-agent": "modeltail"} | {name.lower(): value for name, value in options.headers.items()}
    if options.username is not None:
        pair = f"{options.username}:{options.password or ''}".encode()
        headers["authorization"] = "Basic " + base64.b64encode(pair).decode()
    return headers
