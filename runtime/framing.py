"""Framing of the control channel, for processes that do without asyncio: see `runtime.channel`."""

import socket
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import msgspec

FD = 3
MAX_MESSAGE_BYTES = 64 << 20
BEAT = bytes(4)
"""An empty frame, which is no message: "are you there?" to a child, and its "yes" when it sends that back."""

_encoder = msgspec.msgpack.Encoder()
Message = TypeVar("Message")


class ChannelError(Exception):
    """The other side sent bytes that are not a message of the agreed type."""


def encode(message: msgspec.Struct) -> bytes:
    """Return `message` as one frame."""
    payload = _encoder.encode(message)
    return len(payload).to_bytes(4, "little") + payload


class Decoder(Generic[Message]):
    """Turns received bytes into messages of one union type. Raises `ChannelError` on anything else."""

    def __init__(self, types: Any) -> None:
        self._decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(types)
        self._buffer = bytearray()
        self._beats = 0

    def feed(self, data: bytes) -> Iterator[Message]:
        """Take received bytes and yield every message that is now complete."""
        buffer = self._buffer
        buffer += data
        while len(buffer) >= 4:
            length = int.from_bytes(buffer[:4], "little")
            if not length:
                self._beats += 1
                del buffer[:4]
                continue
            if length > MAX_MESSAGE_BYTES:
                raise ChannelError(f"message of {length} bytes is over the limit of {MAX_MESSAGE_BYTES}")
            if len(buffer) < 4 + length:
                return
            payload = bytes(buffer[4 : 4 + length])
            del buffer[: 4 + length]
            try:
                yield self._decoder.decode(payload)
            except msgspec.MsgspecError as error:
                raise ChannelError(str(error)) from None

    def beats(self) -> bytes:
        """The beats among what was fed since the last call, as the bytes to answer them with."""
        count, self._beats = self._beats, 0
        return BEAT * count


def inherited_socket() -> socket.socket:
    """Return this child's end of its control channel (file descriptor `FD`)."""
    return socket.socket(fileno=FD)
