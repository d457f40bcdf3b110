"""The certificate authority that is known by its fingerprint only.

Elasticsearch prints the fingerprint of its own authority at its first start. A fingerprint alone cannot verify a chain,
and comparing it with what a server sends proves nothing: anyone may append somebody else's certificate. So the
authority's certificate is fetched once, recognised by its fingerprint, and from then on it is what every connection is
verified against, in the ordinary way.
"""

import asyncio
import hashlib
import ssl
from collections.abc import Iterable

from agent.errors import Paused, Retryable


async def fetch_authority(host: str, port: int, fingerprint: str, timeout_secs: float) -> bytes:
    """The certificate with this fingerprint, in DER form, of those the server sends. ``Paused`` if it sends none such,
    ``Retryable`` if it is not there.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(timeout_secs):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except (TimeoutError, OSError) as error:
        raise Retryable(f"no connection to {host}:{port} to fetch its certificate authority: {error}") from error
    try:
        chain = _chain(writer.get_extra_info("ssl_object"))
    finally:
        writer.transport.abort()
    found = _of_fingerprint(chain, fingerprint)
    if found is None:
        raise Paused(f"{host}:{port} does not present a certificate with the configured `ca_fingerprint`")
    return found


def _chain(connection: ssl.SSLObject) -> list[bytes]:
    """The certificates the server sent, in DER form. Public since Python 3.13; before that the object inside has it."""
    if hasattr(connection, "get_unverified_chain"):
        return [bytes(certificate) for certificate in connection.get_unverified_chain()]
    inner = connection._sslobj  # type: ignore[attr-defined]
    return [ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in inner.get_unverified_chain() or ()]


def _of_fingerprint(chain: Iterable[bytes], fingerprint: str) -> bytes | None:
    wanted = fingerprint.replace(":", "").lower()
    return next((der for der in chain if hashlib.sha256(der).hexdigest() == wanted), None)
