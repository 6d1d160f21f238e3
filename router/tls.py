"""The edge's TLS listener: its context. Used by `router.servers`, and by the supervisor to try the files at start."""

import ssl


def server_tls(certificate: str, key: str, protocols: list[str]) -> ssl.SSLContext:
    """Return a context for a certificate chain and its key, files in PEM, and the application protocols on offer.

    Raises `OSError`, or `ssl.SSLError`, which is one, when the files cannot be used.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(protocols)
    return context
