"""permessage-deflate (RFC 7692): what is agreed on in the handshake, and both directions of it. Pure.

Windows are small on purpose: a connection keeps about 50 kB with them and over 300 kB with zlib's defaults, and an app
may have a thousand connections.
"""

import zlib
from typing import NamedTuple

from router.websocket.frames import INVALID_DATA, FrameError

NAME = "permessage-deflate"
WINDOW_BITS = 12
LEVEL = 1
"""The edge has other things to do; what matters is that text shrinks at all."""
MEMORY_LEVEL = 4
LEAST_BYTES = 256
"""Smaller messages leave as they are: there is little to win."""
_TAIL = b"\x00\x00\xff\xff"
_PARAMETERS = frozenset(
    ("server_no_context_takeover", "client_no_context_takeover", "server_max_window_bits", "client_max_window_bits")
)


class Agreement(NamedTuple):
    """What the two sides agreed on, as the server sees it."""

    answer: bytes
    """The value of Sec-WebSocket-Extensions in the response."""
    own_bits: int
    own_takeover: bool
    their_bits: int
    their_takeover: bool


def agree(offers: bytes) -> Agreement | None:
    """Return the answer to the first offer in Sec-WebSocket-Extensions that can be met, None without one."""
    for offer in offers.decode("latin-1").split(","):
        name, *given = [part.strip() for part in offer.split(";")]
        parameters = dict(_parameter(part) for part in given)
        if name == NAME and len(parameters) == len(given) and parameters.keys() <= _PARAMETERS:
            met = _meet(parameters)
            if met is not None:
                return met
    return None


def _parameter(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip(), value.strip().strip('"')


def _meet(offer: dict[str, str]) -> Agreement | None:
    own_bits, their_bits = WINDOW_BITS, zlib.MAX_WBITS
    for name in ("server_max_window_bits", "client_max_window_bits"):
        value = offer.get(name)
        # zlib cannot make a window of 8 bits for a raw stream; the client may name its own bound or leave it open.
        if value is not None and not (value in _BITS or (not value and name == "client_max_window_bits")):
            return None
    parts = [NAME]
    if offer.get("server_max_window_bits"):
        own_bits = min(own_bits, int(offer["server_max_window_bits"]))
    parts.append(f"server_max_window_bits={own_bits}")
    if "client_max_window_bits" in offer:
        their_bits = min(WINDOW_BITS, int(offer["client_max_window_bits"] or WINDOW_BITS))
        parts.append(f"client_max_window_bits={their_bits}")
    parts += [name for name in ("server_no_context_takeover", "client_no_context_takeover") if name in offer]
    return Agreement(
        "; ".join(parts).encode(),
        own_bits,
        "server_no_context_takeover" not in offer,
        their_bits,
        "client_no_context_takeover" not in offer,
    )


_BITS = frozenset(str(bits) for bits in range(9, 16))


class Inflate:
    """Decompresses what the other side sends: `router.websocket.frames.Inflater`."""

    def __init__(self, agreement: Agreement) -> None:
        self._bits = agreement.their_bits
        self._takeover = agreement.their_takeover
        self._stream = zlib.decompressobj(-self._bits)
        self._input = b""
        self._last = False
        self.drained = True

    def begin(self, data: bytes, last: bool) -> None:
        self._input = data + _TAIL if last else data
        self._last = last
        self.drained = False

    def pull(self, most: int) -> bytes:
        try:
            data = self._stream.decompress(self._input, most)
        except zlib.error:
            raise FrameError(INVALID_DATA, "A message is not compressed as it should be") from None
        self._input = self._stream.unconsumed_tail
        if self._stream.eof:
            # A final block, which RFC 7692 §7.2.3.4 allows: what follows begins anew.
            self._input = self._stream.unused_data
            self._stream = zlib.decompressobj(-self._bits)
        self.drained = not self._input and len(data) < most
        if self.drained and self._last and not self._takeover:
            self._stream = zlib.decompressobj(-self._bits)
        return data


class Deflate:
    """Compresses what this side sends."""

    def __init__(self, agreement: Agreement) -> None:
        self._bits = agreement.own_bits
        self._takeover = agreement.own_takeover
        self._stream: zlib._Compress | None = None

    def compress(self, data: bytes, last: bool) -> bytes:
        """Return the payload of the message's next frame."""
        stream = self._stream
        if stream is None:
            # Made when it is needed: many connections only ever send short messages.
            stream = self._stream = zlib.compressobj(LEVEL, zlib.DEFLATED, -self._bits, MEMORY_LEVEL)
        compressed = stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH)
        if last and not self._takeover:
            self._stream = None
        return compressed[: -len(_TAIL)] if last else compressed
