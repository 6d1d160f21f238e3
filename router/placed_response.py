"""A response's body in memory that the app's host shares, on its way to the client: the kernel reads it there.

Used by `router.exchanges`. The host changes the memory once it was told that the body has left, so that has to be seen
exactly: while a body is on its way, the transport tells of the moment when it holds nothing at all. The last piece may
be a copy of what the kernel does not take at once: for a client that takes its time over no more than any response may
have under way, neither the memory nor the request's slot is kept.
"""

import asyncio
import contextlib
import os

from isolates.wire import WINDOW_BYTES

PIECE_BYTES = WINDOW_BYTES
"""A transport for TLS keeps what it has encrypted: no more of a body than of any other."""


class PlacedResponse:
    """`head` and then `body` go to the client by `transport`, to which nobody else writes meanwhile."""

    def __init__(self, transport: asyncio.Transport, head: bytes, body: memoryview) -> None:
        transport.set_write_buffer_limits(high=0)
        self._transport = transport
        self._head = head
        self._left = body
        self._writing = False

    def __repr__(self) -> str:
        return f"<PlacedResponse, {len(self._left)} bytes left>"

    def go_on(self) -> bool:
        """Write as much as the client takes; return whether all has left. Else to be called when it may go on.

        If the client does not take all, False to the end: then the connection is about to be lost.
        """
        if self._writing:
            return False  # with TLS it may go on before a write has returned
        transport = self._transport
        self._writing = True
        while self._left and not transport.is_closing() and not transport.get_write_buffer_size():
            piece, self._left = self._left[:PIECE_BYTES], self._left[PIECE_BYTES:]
            head, self._head = self._head, b""
            if self._left:
                transport.writelines((head, piece)) if head else transport.write(piece)
            else:
                self._write_last(head, piece)
        self._writing = False
        if self._left or transport.is_closing():
            return False
        transport.set_write_buffer_limits()
        return True

    def _write_last(self, head: bytes, piece: memoryview) -> None:
        """Nothing refers to `piece` afterwards."""
        transport, sent = self._transport, 0
        if transport.get_extra_info("sslcontext") is None:
            # The transport, in which nothing is, would keep all that the kernel does not take. If there is no room, or
            # nobody any more, it sees which.
            with contextlib.suppress(OSError):
                sent = os.writev(transport.get_extra_info("socket").fileno(), (head, piece))
        if sent < len(head) + len(piece):
            transport.write(head[sent:] + bytes(piece[max(0, sent - len(head)) :]))
