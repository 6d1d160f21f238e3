"""Connections that leave the node: to checked addresses only, with verified certificates.

No proxy and no environment variable is consulted, so that there is one way out of this process. Redirects are not
followed: the platform's `fetch` does that, and every hop comes back here as a request of its own.
"""

import asyncio
import ssl
from collections.abc import Callable, Hashable

import certifi

from router.egress.client import Connection
from router.egress.destination import Destination
from router.egress.errors import EgressError
from router.egress.headers import Request, public_head
from router.egress.policy import Address
from router.egress.resolver import Resolver

CONNECT_SECONDS = 10.0
"""Name lookup, connecting and the TLS handshake together."""

ATTEMPT_SECONDS = 4.0
"""One address, so that a dead first one does not use up all the time."""


def tls_context() -> ssl.SSLContext:
    """Return the context for outbound TLS: certificates verified against the machine's store and certifi's."""
    context = ssl.create_default_context(cafile=certifi.where())
    context.load_default_certs()
    context.set_alpn_protocols(["http/1.1"])
    return context


class PublicConnector:
    """Connects where the resolver's policy permits. One per host connection: apps never share a connection."""

    def __init__(self, resolver: Resolver, tls: ssl.SSLContext) -> None:
        self._resolver = resolver
        self._tls = tls

    def key(self, destination: Destination) -> Hashable:
        return destination.scheme, destination.host, destination.port

    def head(self, request: Request, request_id: bytes) -> bytes:
        return public_head(request)

    async def connect(self, destination: Destination, factory: Callable[[], Connection]) -> Connection:
        """Connect to the first address that answers. Raises `EgressError`."""
        host, port = destination.host, destination.port
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                addresses = await self._resolver.resolve(host, port)
                return await self._first(destination, addresses, factory)
        except TimeoutError:
            raise EgressError("timeout", f"connecting to {host}:{port} took too long") from None

    async def _first(
        self, destination: Destination, addresses: list[Address], factory: Callable[[], Connection]
    ) -> Connection:
        problem = ""
        for number, address in enumerate(addresses, 1):
            is_last = number == len(addresses)
            try:
                async with asyncio.timeout(None if is_last else ATTEMPT_SECONDS):
                    return await self._one(destination, address, factory)
            except TimeoutError:
                if is_last:
                    raise
                problem = "timed out"
            except OSError as error:
                problem = (error.strerror or str(error) or "it was closed").lower()
        raise EgressError("connect", f"cannot connect to {destination.host}:{destination.port}: {problem}")

    async def _one(self, destination: Destination, address: Address, factory: Callable[[], Connection]) -> Connection:
        secure = destination.scheme == "https"
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                factory,
                str(address),
                destination.port,
                ssl=self._tls if secure else None,
                server_hostname=destination.host if secure else None,
            )
        except ssl.SSLCertVerificationError as error:
            problem = f"the certificate of {destination.host} is not valid: {error.verify_message}"
            raise EgressError("tls", problem) from None
        except ssl.SSLError as error:
            problem = f"the TLS handshake with {destination.host} failed: {error.reason or error}"
            raise EgressError("tls", problem) from None
        return connection
