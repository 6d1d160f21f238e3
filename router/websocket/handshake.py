"""The opening handshake (RFC 6455 §4), as far as the edge and egress take part in it. Pure."""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable

from router.errors import EdgeError

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
VERSION = b"13"

Fields = Iterable[tuple[bytes, bytes]]


def accept_value(key: bytes) -> bytes:
    """Return Sec-WebSocket-Accept for a Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key + _GUID).digest())  # noqa: S324 not for security: RFC 6455 §4.2.2


def listed(fields: Fields, name: bytes) -> list[bytes]:
    """Return the elements of a comma-separated field, in all its lines."""
    values = [value for field, value in fields if field == name]
    return [element.strip() for value in values for element in value.split(b",") if element.strip()]


def checked_key(fields: Fields) -> bytes:
    """Return the key of a client's handshake. Raises `EdgeError`: 400 if it is malformed, 426 for another version."""
    found = {name: value for name, value in fields if name in (b"sec-websocket-key", b"sec-websocket-version")}
    if found.get(b"sec-websocket-version") != VERSION:
        raise EdgeError(426, "WebSockets are spoken in version 13 here.")
    key = found.get(b"sec-websocket-key", b"")
    try:
        valid = len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        valid = False
    if not valid:
        raise EdgeError(400, "The request has no valid Sec-WebSocket-Key.")
    return key


def chosen_protocol(given: bytes, offered: list[bytes]) -> bytes | None:
    """Return the subprotocol that a server chose: None if it chose none. Raises `ValueError` if it was not offered."""
    if not given:
        return None
    if not _TOKEN.fullmatch(given) or given not in offered:
        raise ValueError("the subprotocol was not offered")
    return given
