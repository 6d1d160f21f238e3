"""The network below `httpcore`: connections to checked addresses only, on asyncio streams.

No proxy, no environment variable and no other back end is consulted, so that there is one way out of this process.
"""

import asyncio
import ssl
from collections.abc import Iterable
from typing import Any

import certifi
import httpcore

from router.egress.errors import EgressError
from router.egress.policy import Address
from router.egress.resolver import Resolver

CONNECT_SECONDS = 10.0
"""Name lookup and all attempts to connect together."""

ATTEMPT_SECONDS = 4.0
"""One address, so that a dead first one does not use up all the time."""


def tls_context() -> ssl.SSLContext:
    """Return the context for outbound TLS: certificates verified against the machine's store and certifi's."""
    context = ssl.create_default_context(cafile=certifi.where())
    context.load_default_certs()
    return context


class Network(httpcore.AsyncNetworkBackend):
    """Connects where the resolver's policy permits."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature, here and below
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> "TcpStream":
        """Connect to the first address of `host` that answers. Raises `EgressError`."""
        try:
            async with asyncio.timeout(timeout or CONNECT_SECONDS):
                addresses = await self._resolver.resolve(host, port)
                return await _connect(host, port, addresses)
        except TimeoutError:
            raise EgressError("timeout", f"connecting to {host}:{port} took too long") from None

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109
        socket_options: Iterable[Any] | None = None,
    ) -> "TcpStream":
        """Refuse: apps reach nothing but TCP."""
        raise EgressError("blocked", "Unix sockets cannot be reached")

    async def sleep(self, seconds: float) -> None:
        """Wait, for retries."""
        await asyncio.sleep(seconds)


async def _connect(host: str, port: int, addresses: list[Address]) -> "TcpStream":
    problem = ""
    for address in addresses:
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS if len(addresses) > 1 else None):
                reader, writer = await asyncio.open_connection(str(address), port)
        except TimeoutError:
            problem = "timed out"
        except OSError as error:
            problem = (error.strerror or str(error)).lower()
        else:
            return TcpStream(host, reader, writer)
    raise EgressError("connect", f"cannot connect to {host}:{port}: {problem}")


class TcpStream(httpcore.AsyncNetworkStream):
    """One connection, plain or TLS."""

    def __init__(self, host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._host = host
        self._reader = reader
        self._writer = writer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """Return up to `max_bytes`, b"" at the end. Raises `httpcore.ReadTimeout`, `httpcore.ReadError`."""
        try:
            async with asyncio.timeout(timeout):
                return await self._reader.read(max_bytes)
        except TimeoutError:
            raise httpcore.ReadTimeout from None
        except (OSError, ssl.SSLError) as error:
            raise httpcore.ReadError(str(error)) from None

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Write all of `buffer`. Raises `httpcore.WriteTimeout`, `httpcore.WriteError`."""
        try:
            async with asyncio.timeout(timeout):
                self._writer.write(buffer)
                await self._writer.drain()
        except TimeoutError:
            raise httpcore.WriteTimeout from None
        except (OSError, ssl.SSLError) as error:
            raise httpcore.WriteError(str(error)) from None

    async def aclose(self) -> None:
        """Close without waiting for the other side."""
        self._writer.close()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> "TcpStream":
        """Turn the connection into TLS and return it. Raises `EgressError` (tls, timeout)."""
        try:
            async with asyncio.timeout(timeout or CONNECT_SECONDS):
                await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
        except TimeoutError:
            self._writer.transport.abort()
            raise EgressError("timeout", f"the TLS handshake with {self._host} took too long") from None
        except ssl.SSLCertVerificationError as error:
            raise EgressError("tls", f"the certificate of {self._host} is not valid: {error.verify_message}") from None
        except (OSError, ssl.SSLError) as error:
            reason = getattr(error, "reason", None) or str(error) or "the connection was closed"
            raise EgressError("tls", f"the TLS handshake with {self._host} failed: {reason}") from None
        return self

    def get_extra_info(self, info: str) -> Any:
        """Answer `httpcore`'s questions: the TLS object, and whether an idle connection has ended."""
        if info == "ssl_object":
            return self._writer.get_extra_info("ssl_object")
        if info == "is_readable":
            return self._reader.at_eof()
        return None
