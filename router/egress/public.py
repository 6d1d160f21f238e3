"""Connections that leave the node: to checked addresses only, with verified certificates.

No proxy and no environment variable is consulted, so that there is one way out of this process. Redirects are not
followed: the platform's `fetch` does that, and every hop comes back here as a request of its own.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable, Hashable, Sequence

import certifi
from aiohappyeyeballs import start_connection
from aiohappyeyeballs.types import AddrInfoType

from router.egress.destination import Destination
from router.egress.errors import EgressError
from router.egress.headers import Request, public_head
from router.egress.negotiation import PROTOCOLS
from router.egress.policy import Address
from router.egress.resolver import Lane, Resolver

CONNECT_SECONDS = 10.0
"""Name lookup, connecting and the TLS handshake together."""

ATTEMPT_SECONDS = 0.25
"""After so long without an answer the next address is tried as well (RFC 8305 section 8)."""

MAX_ADDRESSES = 6
"""Of one name: a server has no business making us knock on hundreds."""


def tls_context(more_authorities: str = "") -> ssl.SSLContext:
    """Return the context for outbound TLS: certificates verified against the machine's store and certifi's.

    Both, so that a machine without a store can reach the web, and one whose administrator has added an authority can
    reach what that has signed. `more_authorities` is a file (PEM) of further ones. Raises `OSError`.
    """
    context = ssl.create_default_context(cafile=certifi.where())
    context.load_default_certs()
    if more_authorities:
        context.load_verify_locations(more_authorities)
    context.set_alpn_protocols(PROTOCOLS)
    return context


class PublicConnector:
    """Connects where the resolver's policy permits. One per host connection: apps never share a connection.

    `lane` bounds the app's lookups of names; without `http2` nobody takes HTTP/2, which `tls` must not offer then.
    """

    def __init__(self, resolver: Resolver, tls: ssl.SSLContext, lane: Lane, *, http2: bool = True) -> None:
        self._resolver = resolver
        self._tls = tls
        self._lane = lane
        self._http2 = http2

    def key(self, destination: Destination) -> Hashable:
        return destination.scheme, destination.host, destination.port

    def may_be_http2(self, destination: Destination) -> bool:
        return self._http2 and destination.scheme == "https"

    def head(self, request: Request, request_id: bytes) -> bytes:
        return public_head(request)

    async def connect(self, destination: Destination, factory: Callable[[], asyncio.Protocol]) -> asyncio.Protocol:
        """Connect to the first address that answers. Raises `EgressError`."""
        host, port = destination.host, destination.port
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                addresses = await self._resolver.resolve(host, port, self._lane)
                sock = await start_connection(_infos(addresses, port), happy_eyeballs_delay=ATTEMPT_SECONDS)
                return await self._talk(sock, destination, factory)
        except TimeoutError:
            raise EgressError("timeout", f"connecting to {host}:{port} took too long") from None
        except (OSError, RuntimeError) as error:  # uvloop has RuntimeErrors for some addresses
            raise EgressError("connect", f"cannot connect to {host}:{port}: {_reason(error)}") from None

    async def _talk(
        self, sock: socket.socket, destination: Destination, factory: Callable[[], asyncio.Protocol]
    ) -> asyncio.Protocol:
        secure, host = destination.scheme == "https", destination.host
        loop = asyncio.get_running_loop()
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _, protocol = await loop.create_connection(
                factory, sock=sock, ssl=self._tls if secure else None, server_hostname=host if secure else None
            )
        except ssl.SSLCertVerificationError as error:
            problem = f"the certificate of {host} is not valid: {error.verify_message}"
            raise EgressError("tls", problem) from None
        except ssl.SSLError as error:
            raise EgressError("tls", f"the TLS handshake with {host} failed: {error.reason or error}") from None
        except BaseException:
            sock.close()
            raise
        return protocol


def _infos(addresses: Sequence[Address], port: int) -> list[AddrInfoType]:
    families = {4: socket.AF_INET, 6: socket.AF_INET6}
    return [
        (families[address.version], socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (str(address), port))
        for address in addresses[:MAX_ADDRESSES]
    ]


def _reason(error: OSError | RuntimeError) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno).lower()
    return str(error).lower() or "it was closed"
