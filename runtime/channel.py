"""Control channel between the supervisor and each process it starts: MessagePack messages over a stream socket.

Every child inherits one end of a socket pair as file descriptor `FD`. End of file means that the other side is
gone: a child that reads it exits, so nothing outlives the supervisor. Messages are tagged `msgspec.Struct`s, declared
in the `messages.py` of the room that the child belongs to; both directions use the same framing:

    u32 length of the payload in bytes, little-endian
    payload: one MessagePack object (a tagged struct), or nothing: a beat, which a child sends back

`encode` and `Decoder` are pure and come from `runtime.framing`, which loads no asyncio: a process or thread without a
loop may use them on a blocking socket. `Channel` is the asyncio shell.
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable
from typing import Any, Generic, cast

import msgspec

from runtime.framing import BEAT, FD, MAX_MESSAGE_BYTES, ChannelError, Decoder, Message, encode, inherited_socket

__all__ = ["FD", "MAX_MESSAGE_BYTES", "Channel", "ChannelError", "Decoder", "encode", "inherited_socket"]


class Channel(asyncio.Protocol, Generic[Message]):
    """One end of a control channel on the running loop.

    `on_message` is called for each message in order, `on_close` once when the other side is gone. Neither may block.
    Beats are sent back, unless `on_beat` is there to be called instead. `on_read` is told of each piece that was read:
    how many bytes, and when they came.
    """

    def __init__(
        self,
        types: Any,
        on_message: Callable[[Message], None],
        on_close: Callable[[], None],
        on_beat: Callable[[], None] | None = None,
        on_read: Callable[[int, float], None] | None = None,
    ) -> None:
        self._decoder: Decoder[Message] = Decoder(types)
        self._on_message = on_message
        self._on_close = on_close
        self._on_beat = on_beat
        self._on_read = on_read
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(
        cls,
        sock: socket.socket,
        types: Any,
        on_message: Callable[[Message], None],
        on_close: Callable[[], None],
        on_beat: Callable[[], None] | None = None,
        on_read: Callable[[int, float], None] | None = None,
    ) -> "Channel[Message]":
        """Attach to a connected stream socket, which the channel owns from then on."""
        sock.setblocking(False)
        channel = cls(types, on_message, on_close, on_beat, on_read)
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: channel, sock=sock)
        return channel

    def __repr__(self) -> str:
        state = "open" if self._transport and not self._transport.is_closing() else "closed"
        return f"<Channel {state}>"

    def send(self, message: msgspec.Struct) -> None:
        """Queue `message`; does nothing once the other side is gone (`on_close` tells)."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode(message))

    def beat(self) -> None:
        """Ask whether the other side is there."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(BEAT)

    def close(self) -> None:
        """Send what is queued, then close."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, not a check: uvloop's transports do not inherit from asyncio.Transport.
        self._transport = cast(asyncio.Transport, transport)

    def pause(self) -> None:
        """Read nothing, not even that the other side is gone, until `resume`."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        came = time.monotonic()
        for message in self._decoder.feed(data):
            self._on_message(message)
        beats = self._decoder.beats()
        if beats and self._on_beat is not None:
            self._on_beat()
        elif beats and self._transport is not None and not self._transport.is_closing():
            self._transport.write(beats)
        if self._on_read is not None:
            self._on_read(len(data), came)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._read_rest()
        self._on_close()

    def _read_rest(self) -> None:
        """Take what the other side said before it ended. A write that finds it gone is the end for asyncio, read or
        not: why an isolate host ended was lost, if something was sent to it just then.
        """
        if self._transport is None:
            return
        descriptor = self._transport.get_extra_info("socket").fileno()
        with contextlib.suppress(OSError, ChannelError):
            while data := os.read(descriptor, 1 << 16):
                for message in self._decoder.feed(data):
                    self._on_message(message)
