"""Database tokens and query tokens: pure functions. Called for requests to the data plane and by the control API.

A **database token** is `<database id>.<43 characters>`: 256 random bits, of which only the SHA-256 is kept. The id in
it is what finds the database when the URL does not name one. A **query token** is `q.<payload>.<MAC>`: MessagePack and
HMAC-SHA-256, both in base64url without padding; it names database, epoch, expiry, audience and access. Rotation
raises the database's epoch and replaces the hash, which ends everything issued before. Tokens must never be logged or
put in an error.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Literal

import msgspec

from dataplane.messages import Catalog, Database

AccessKind = Literal["rw", "ro"]
MAX_TTL_SECONDS = 3600
_QUERY_PREFIX = "q."
_MAX_TOKEN_CHARACTERS = 2048
"""More than any that is issued: an audience has up to 200 characters, of four bytes perhaps."""


class Access(msgspec.Struct, frozen=True):
    """What a valid token allows."""

    database: Database
    read_only: bool
    expires: float | None
    """Unix time, or None for a database token."""
    audience: str | None = None


class TokenError(Exception):
    """The token is missing, malformed, unknown, expired or revoked: one error, so that it tells nothing.

    `genuine`: it was issued here and is over, so whoever has it does not guess.
    """

    def __init__(self, *, genuine: bool = False) -> None:
        super().__init__("The token is missing or not valid for this database")
        self.genuine = genuine


class _Claims(msgspec.Struct, array_like=True, frozen=True):
    database_id: str
    epoch: int
    expires: float
    audience: str
    access: AccessKind


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Claims)


def new_database_token(database_id: str) -> str:
    """Return a new long-lived token of the database."""
    return f"{database_id}.{secrets.token_urlsafe(32)}"


def hash_token(token: str) -> bytes:
    """Return what is kept of a database token. It has 256 random bits, so that a plain hash suffices."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def clamped_ttl(seconds: float) -> float:
    """Return for how long a query token lives that is asked for with this life."""
    return min(max(seconds, 1), MAX_TTL_SECONDS)


def new_query_token(
    key: bytes, *, database_id: str, epoch: int, ttl_seconds: float, audience: str, access: AccessKind, now: float
) -> str:
    """Return a signed token that lives `ttl_seconds`, clamped to 1 … 3600, from `now` (Unix time)."""
    expires = now + clamped_ttl(ttl_seconds)
    payload = _encoder.encode(_Claims(database_id, epoch, expires, audience, access))
    return f"{_QUERY_PREFIX}{_to_base64(payload)}.{_to_base64(_sign(key, payload))}"


def verify(token: str, catalog: Catalog, key: bytes, now: float) -> Access:
    """Return what `token` allows at `now` (Unix time). Raises `TokenError`; comparisons take constant time."""
    if len(token) > _MAX_TOKEN_CHARACTERS:
        raise TokenError
    if token.startswith(_QUERY_PREFIX):
        return _verify_query_token(token, catalog, key, now)
    database = catalog.databases.get(token.partition(".")[0])
    known = database.token_hash if database is not None else bytes(32)
    if not hmac.compare_digest(hash_token(token), known) or database is None:
        raise TokenError
    return Access(database, read_only=False, expires=None)


def _verify_query_token(token: str, catalog: Catalog, key: bytes, now: float) -> Access:
    payload_text, _, mac_text = token[len(_QUERY_PREFIX) :].partition(".")
    try:
        payload, mac = _from_base64(payload_text), _from_base64(mac_text)
    except (binascii.Error, ValueError):
        raise TokenError from None
    if not hmac.compare_digest(_sign(key, payload), mac):
        raise TokenError
    try:
        claims = _decoder.decode(payload)
    except msgspec.MsgspecError:
        raise TokenError from None
    database = catalog.databases.get(claims.database_id)
    if database is None or database.epoch != claims.epoch or claims.expires <= now:
        raise TokenError(genuine=True)
    return Access(database, read_only=claims.access == "ro", expires=claims.expires, audience=claims.audience)


def _sign(key: bytes, payload: bytes) -> bytes:
    return hmac.digest(key, b"query token\n" + payload, "sha256")


def _to_base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _from_base64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
