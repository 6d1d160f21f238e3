"""Request ids: unique over workers and restarts, cheap, and safe to show.

The edge gives one to each request unless a trusted proxy brought its own.
"""

import itertools
import re
import secrets

_ACCEPTABLE = re.compile(rb"[\x21-\x7e]{1,128}")


class RequestIds:
    """Makes ids of 24 hexadecimal digits: 12 chosen at random for this process, 12 that count."""

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(6).encode()
        self._next = itertools.count(secrets.randbits(32)).__next__

    def new(self) -> bytes:
        """Return an id that no other call in any process returns."""
        return b"%s%012x" % (self._prefix, self._next())


def acceptable(value: bytes) -> bool:
    """Whether an id from a trusted proxy can be kept: 1 to 128 visible ASCII characters."""
    return _ACCEPTABLE.fullmatch(value) is not None
