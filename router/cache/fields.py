"""Header fields, as the cache keeps and compares them. Pure."""

from collections.abc import Sequence
from email.utils import parsedate_to_datetime

Fields = Sequence[tuple[bytes, bytes]]
"""Names in lower case."""


def value_of(fields: Fields, name: bytes) -> bytes | None:
    """Return a header field's values, combined; None: there is none."""
    values = [value for key, value in fields if key == name]
    return b", ".join(values) if values else None


def moment(value: bytes) -> float | None:
    """Return what an HTTP date says, in seconds since the epoch; None: it is none."""
    try:
        return parsedate_to_datetime(value.decode("latin-1")).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
