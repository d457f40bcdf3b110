"""TLS towards the servers that outputs connect to: who is trusted, and who we are."""

import ssl

from agent.errors import Paused
from agent.outputs.options import TlsClientOptions


def client_context(options: TlsClientOptions, authority: bytes | None = None) -> ssl.SSLContext:
    """How connections are verified. ``authority`` is a certificate in DER form to trust instead of any other.

    Raises ``Paused`` when a file cannot be read or is no certificate: a person must act.
    """
    try:
        if authority is not None:
            context = ssl.create_default_context(cadata=authority)
            # It may be the server's own certificate.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        else:
            context = ssl.create_default_context(cafile=options.ca_file)
        if options.client_cert is not None:
            context.load_cert_chain(options.client_cert, options.client_key)
    except (OSError, ssl.SSLError) as error:
        file = options.ca_file or options.client_cert
        raise Paused(f"a certificate cannot be used: {error} ({file})") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # The authority that Elasticsearch makes for itself says nothing of key usage, which strict checking asks for.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if options.verify != "full":
        context.check_hostname = False
    if options.verify == "none":
        context.verify_mode = ssl.CERT_NONE
    return context
