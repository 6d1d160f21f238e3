"""Connections to this node's own edge workers, over their Unix sockets: how apps reach each other.

Requests to databases take another way (`router.egress.databases`), but their WebSockets come along here.
"""

import asyncio
import logging
from collections.abc import Callable, Hashable, Sequence

from router.egress.destination import Destination
from router.egress.errors import EgressError
from router.egress.headers import Request, local_head

log = logging.getLogger("router.egress")


class LocalConnector:
    """Takes the edge workers in turn. Any of them can answer any request, so that all connections are alike."""

    def __init__(self, sockets: Sequence[str]) -> None:
        self._sockets = list(sockets)
        self._turn = 0

    def __repr__(self) -> str:
        return f"<LocalConnector {len(self._sockets)} edge workers>"

    def key(self, destination: Destination) -> Hashable:
        return None

    def head(self, request: Request, request_id: bytes) -> bytes:
        return local_head(request, request_id)

    def may_be_http2(self, destination: Destination) -> bool:
        return False

    async def connect(self, destination: Destination, factory: Callable[[], asyncio.Protocol]) -> asyncio.Protocol:
        """Try each edge worker once, beginning with the one whose turn it is."""
        loop = asyncio.get_running_loop()
        for _ in range(len(self._sockets)):
            path = self._sockets[self._turn % len(self._sockets)]
            self._turn += 1
            try:
                _, connection = await loop.create_unix_connection(factory, path)
            except OSError as error:
                log.warning("an edge worker cannot be reached at %s: %s", path, error)
            else:
                return connection
        raise EgressError("connect", "this node's edge cannot be reached at the moment")
