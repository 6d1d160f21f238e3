"""Batons: how a client names its stream in the next HTTP request.

A baton is `boot id | stream | sequence | MAC` in base64url, signed with a key that lives as long as the database
worker, exactly as the streams do; any edge worker passes it on to the worker of the database. The database's id and
its token epoch are under the MAC, so a baton is worth nothing with another database's token or after a rotation.
"""

import base64
import binascii
import hmac
import secrets
import struct

_LAYOUT = struct.Struct("<8sQQ")
_MAC_BYTES = 18
_BYTES = _LAYOUT.size + _MAC_BYTES


class ExpiredBaton(Exception):
    """The baton may be genuine, but it is of an earlier worker process, whose streams are gone."""


class InvalidBaton(Exception):
    """Nobody issued this baton for this database and epoch."""


class Batons:
    """Issues and reads the batons of one worker process."""

    def __init__(self) -> None:
        self._boot = secrets.token_bytes(8)
        self._key = secrets.token_bytes(32)

    def issue(self, stream: int, sequence: int, database_id: str, epoch: int) -> str:
        """Return the baton for the next use of a stream."""
        payload = _LAYOUT.pack(self._boot, stream, sequence)
        return base64.urlsafe_b64encode(payload + self._mac(payload, database_id, epoch)).decode("ascii")

    def read(self, baton: str, database_id: str, epoch: int) -> tuple[int, int]:
        """Return stream and sequence. Raises `InvalidBaton` or `ExpiredBaton`."""
        try:
            data = base64.b64decode(baton.encode("ascii"), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise InvalidBaton from None
        if len(data) != _BYTES:
            raise InvalidBaton
        payload, mac = data[: _LAYOUT.size], data[_LAYOUT.size :]
        boot, stream, sequence = _LAYOUT.unpack(payload)
        if boot != self._boot:
            raise ExpiredBaton
        if not hmac.compare_digest(self._mac(payload, database_id, epoch), mac):
            raise InvalidBaton
        return stream, sequence

    def _mac(self, payload: bytes, database_id: str, epoch: int) -> bytes:
        return hmac.digest(self._key, payload + f"{epoch}\n{database_id}".encode(), "sha256")[:_MAC_BYTES]
