"""Calls of the Cache API as frames of `isolates.wire` between a host and the cache process. Pure.

Heads are latin-1 fields joined by line feeds. A cache is named by a hyphen (`caches.default`) or by `=` and its name
(`caches.open`), in which all but printable ASCII, and the backslash, is written as \\uXXXX.

    REQUEST   operation, cache, URL, flags, then what the operation needs
      match   request header name and value in turn; flags: s ignoreSearch, v ignoreVary; no cache: all that have a name
      get     flags: id of an entry; request headers as of match
      list    as match; no URL: everything in the cache
      delete  as match
      put     flags: count of request headers; then those, then status, reason, kind (what the host wants to know of it)
              and URL of the response, and its headers; data: the response's body
      open    make the cache if it is not there
      has     look whether it is there
      drop    delete it with all that is in it
      names   of all caches that have one

    RESPONSE  to match and get: status; head: reason, kind, URL, header name and value in turn; data: the body
              to list: data: for each entry u32 bytes that follow, u64 id, then URL, header name and value in turn
              to names: data: one per line; to all others: status 200 for yes or done, 404 for no
    REFUSE    code, detail: `miss` is what match and get say if there is no entry; `quota`: a limit, named in detail
"""

import struct
from collections.abc import Sequence

import msgspec

from router.cache.fields import Fields

MAX_URL_BYTES = 16 << 10
MAX_NAME_BYTES = 1024
DEFAULT = b"-"
LISTED = struct.Struct("<IQ")


class CallError(Exception):
    """The call cannot be done. `code` is for programs, `detail` a sentence for the app's developer."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class Call(msgspec.Struct, frozen=True):
    """One call, checked. `rest` is what follows the flags."""

    operation: bytes
    cache: bytes
    url: bytes
    flags: bytes
    rest: list[bytes]

    @property
    def asked(self) -> Fields:
        """The request's header fields, for all operations but put."""
        return pairs(self.rest)

    @property
    def ignores_search(self) -> bool:
        return b"s" in self.flags

    @property
    def ignores_vary(self) -> bool:
        return b"v" in self.flags


class Stored(msgspec.Struct, frozen=True):
    """A request and its response, without the body, as a put brings them."""

    request: Fields
    status: int
    reason: bytes
    kind: bytes
    response_url: bytes
    response: Fields


def call(head: bytes) -> Call:
    """Return what a REQUEST frame asks for. Raises `CallError`: a host is not trusted here."""
    parts = head.split(b"\n")
    if len(parts) < 4:
        raise CallError("protocol", "the call is malformed")
    operation, cache, url, flags, *rest = parts
    if len(url) > MAX_URL_BYTES:
        raise CallError("quota", f"a URL of {len(url)} bytes is over the cache's limit of {MAX_URL_BYTES} bytes")
    if len(cache) > MAX_NAME_BYTES:
        raise CallError("quota", f"the name of a cache is over the limit of {MAX_NAME_BYTES} bytes")
    if operation != b"put" and len(rest) % 2:
        raise CallError("protocol", "the call is malformed")
    return Call(operation, cache, url, flags, rest)


def stored(call: Call) -> Stored:
    """Return what a put brings. Raises `CallError`."""
    if not call.flags.isdigit() or len(call.flags) > 5:
        raise CallError("protocol", "the call is malformed")
    split = 2 * int(call.flags)
    if len(call.rest) < split + 4 or not call.rest[split].isdigit() or not call.url:
        raise CallError("protocol", "the call is malformed")
    status, reason, kind, url = call.rest[split : split + 4]
    if len(status) > 3 or not (call.cache == DEFAULT or call.cache.startswith(b"=")):
        raise CallError("protocol", "the call is malformed")
    return Stored(pairs(call.rest[:split]), int(status), reason, kind, url, pairs(call.rest[split + 4 :]))


def pairs(parts: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """Return names and values that come in turn as pairs."""
    if len(parts) % 2:
        raise CallError("protocol", "the call is malformed")
    return list(zip(parts[::2], parts[1::2], strict=True))


def joined(*lead: bytes, fields: Fields = ()) -> bytes:
    """Return fields as a head."""
    parts = list(lead)
    for name, value in fields:
        parts += (name, value)
    return b"\n".join(parts)


def without_fragment(url: bytes) -> bytes:
    """Return a URL as it is compared: an entry keeps its fragment, but it plays no part."""
    return url.partition(b"#")[0]


def without_search(url: bytes) -> bytes:
    """Return a URL without its query and fragment."""
    return without_fragment(url).partition(b"?")[0]


def entry_id(call: Call) -> int:
    """Return the id that a get asks for. Raises `CallError`."""
    if not call.flags.isdigit() or len(call.flags) > 18:
        raise CallError("protocol", "the call is malformed")
    return int(call.flags)


def listed(entry_id: int, url: bytes, request: bytes) -> bytes:
    """Return an entry as a list tells it; `request` is the head of its request."""
    head = url + b"\n" + request if request else url
    return LISTED.pack(8 + len(head), entry_id) + head
