"""Whose code is at the other end of a host's connection: what the supervisor says, not what the code says.

The supervisor seals an `Identity` with a key that only it and the node's services have, and gives it to a host with its
build. The host sends the ticket as the first frame of each connection (`isolates.wire`, IDENTIFY), in Python, before a
byte of JavaScript's leaves. A host that was broken into has only its own ticket to show, so that the app is known even
then. Never log a ticket.
"""

import hashlib
import hmac

import msgspec

_SEAL_BYTES = 32


class SubrequestLimits(msgspec.Struct, frozen=True):
    """What the app may ask of the egress process."""

    concurrent: int = 200
    """Requests under way at once, over all of its isolates."""
    milliseconds: int = 300_000
    """One request, its response included; 0: no limit."""
    megabytes: int = 0
    """Body of one request, and of one response; 0: no limit."""


class Identity(msgspec.Struct, frozen=True):
    """What a service may rely on about a host."""

    app_id: str
    build_id: str
    limits: SubrequestLimits = SubrequestLimits()


class IdentityError(Exception):
    """The ticket was not made with this node's key."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Identity)


def seal(identity: Identity, key: bytes) -> bytes:
    """Return the ticket for an identity."""
    content = _encoder.encode(identity)
    return _seal(content, key) + content


def unseal(ticket: bytes, key: bytes) -> Identity:
    """Return the identity that a ticket was made for. Raises `IdentityError`."""
    content = ticket[_SEAL_BYTES:]
    # compare_digest, so that a seal cannot be guessed byte by byte.
    if not hmac.compare_digest(ticket[:_SEAL_BYTES], _seal(content, key)):
        raise IdentityError("the ticket is not one of this node")
    return _decoder.decode(content)


def _seal(content: bytes, key: bytes) -> bytes:
    return hmac.digest(key, content, hashlib.sha256)
