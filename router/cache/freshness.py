"""Whether a response may be stored, and for how long: RFC 9111 for a shared cache, as far as the origin decides. Pure.

The app's own `cache.put` says that it wants the response stored, so that nothing here is heuristic: without any word of
the response on it, it is kept until its room is needed.
"""

import re

import msgspec

from router.cache.fields import Fields, moment

_DIRECTIVE = re.compile(r'([!#$%&\'*+.^_`|~0-9a-z-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,;"]*)))?', re.IGNORECASE)
_LONGEST_SECONDS = 10 * 365 * 86400


class Storable(msgspec.Struct, frozen=True):
    """The response may be stored."""

    expires: float | None
    """Seconds since the epoch; None: it does not expire."""
    without: frozenset[bytes] = frozenset()
    """Names of header fields that must not be stored."""


def storable(fields: Fields, now: float) -> Storable | None:
    """Decide from a response's header fields (names in lower case); None: it must not be stored.

    `no-store`, `no-cache` and `private` forbid it, and so does Set-Cookie, unless `private="set-cookie"` keeps it out.
    """
    directives = _directives(fields)
    if "no-store" in directives:
        return None
    without: set[bytes] = set()
    for name in ("private", "no-cache"):
        if name in directives:
            names = directives[name]
            if not names:
                return None
            without.update(part.strip().lower().encode("latin-1") for part in names.split(","))
    if any(name == b"set-cookie" for name, _ in fields) and b"set-cookie" not in without:
        return None
    seconds = _lifetime(directives, fields, now)
    if seconds is None:
        return Storable(None, frozenset(without))
    return Storable(now + min(seconds, _LONGEST_SECONDS), frozenset(without)) if seconds > 0 else None


def _directives(fields: Fields) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in fields:
        if name == b"cache-control":
            for directive, quoted, token in _DIRECTIVE.findall(value.decode("latin-1")):
                found.setdefault(directive.lower(), quoted or token)
    return found


def _lifetime(directives: dict[str, str], fields: Fields, now: float) -> float | None:
    """RFC 9111 section 4.2.1: the first that is there counts; what cannot be understood is stale already."""
    age = next((_seconds(value.decode("latin-1")) for name, value in fields if name == b"age"), 0)
    for name in ("s-maxage", "max-age"):
        if name in directives:
            return _seconds(directives[name]) - age
    expires = next((value for name, value in fields if name == b"expires"), None)
    if expires is None:
        return None
    date = next((moment(value) for name, value in fields if name == b"date"), None)
    end = moment(expires)
    return 0.0 if end is None else end - (now if date is None else date) - age


def _seconds(text: str) -> int:
    return min(int(text), _LONGEST_SECONDS) if text.isascii() and text.isdigit() and len(text) < 20 else 0
