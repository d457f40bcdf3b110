"""Making ready to talk to Elasticsearch's hosts: addresses, credentials, certificates."""

import base64
import binascii
from collections.abc import Sequence
from urllib.parse import urlsplit

from agent.errors import Paused, Retryable
from agent.outputs.elasticsearch.authority import fetch_authority
from agent.outputs.elasticsearch.config import ElasticsearchConfig
from agent.outputs.http_client.connection import Connection
from agent.outputs.http_client.opening import open_connection

HTTPS_PORT = 443


async def connect(config: ElasticsearchConfig) -> Connection:
    """The connection to the hosts; nothing is sent yet but what looking up a ``ca_fingerprint`` takes.

    Raises ``Paused`` when certificates or the cloud id cannot be used, ``Retryable`` when the fingerprint cannot be
    looked up now.
    """
    addresses = config.hosts if config.cloud_id is None else [cloud_address(config.cloud_id)]
    headers = {"accept": "application/json"}
    if config.api_key is not None:
        key = base64.b64encode(config.api_key.encode()).decode() if ":" in config.api_key else config.api_key
        headers["authorization"] = f"ApiKey {key}"
    any_tls = any(address.startswith("https:") for address in addresses)
    authority = await _authority(config, addresses) if config.ca_fingerprint and any_tls else None
    return open_connection(config, addresses, headers, authority)


def cloud_address(cloud_id: str) -> str:
    """The address of a deployment in Elastic Cloud: its id is ``NAME:`` and, in base64, ``DOMAIN[:PORT]$ELASTICSEARCH``
    and more behind another ``$``. Raises ``Paused``."""
    _, _, encoded = cloud_id.partition(":")
    try:
        domain, host, *_ = [*binascii.a2b_base64(encoded.encode("ascii")).decode("ascii").split("$"), ""]
        name, _, port = domain.partition(":")
        number = int(port or HTTPS_PORT)
    except ValueError as error:  # binascii's and Unicode's among them
        raise Paused("`cloud_id` is not what Elastic Cloud shows") from error
    if not name or not host:
        raise Paused("`cloud_id` names no Elasticsearch")
    return f"https://{host}.{name}:{number}"


async def _authority(config: ElasticsearchConfig, addresses: Sequence[str]) -> bytes:
    """The certificate authority of the configured fingerprint, from the first host that answers."""
    assert config.ca_fingerprint is not None  # narrowed by the caller
    unreachable: Retryable | None = None
    for address in addresses:
        url = urlsplit(address)
        if url.scheme == "https":
            try:
                return await fetch_authority(
                    url.hostname or "", url.port or HTTPS_PORT, config.ca_fingerprint, float(config.connect_timeout)
                )
            except Retryable as error:
                unreachable = error
    raise unreachable or Paused("`ca_fingerprint` needs a host with https")
