"""Which HTTP version a new TLS connection speaks: what the server chose in the handshake (ALPN, RFC 7301)."""

import asyncio
from collections.abc import Hashable

from router.egress.client import Home
from router.egress.http1 import Connection
from router.egress.http2 import Http2Connection
from router.egress.pace import Pace

PROTOCOLS = ["h2", "http/1.1"]


class Negotiation(asyncio.Protocol):
    """Hands a connection over to the protocol that was chosen, before a byte is read."""

    def __init__(self, pool: Home, key: Hashable, pace: Pace) -> None:
        self._pool = pool
        self._key = key
        self._pace = pace
        self.chosen: Connection | Http2Connection | None = None
        """Set once the handshake is done."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() == "h2":
            self.chosen = Http2Connection(self._pool, self._key, self._pace)
        else:
            self.chosen = Connection(self._pool, self._key)
        transport.set_protocol(self.chosen)
        self.chosen.connection_made(transport)
