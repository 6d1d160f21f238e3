"""Identifiers: a kind prefix and 12 characters of base32 from the system's random source (60 bits)."""

import base64
import re
import secrets

_ID = re.compile(r"(prj|app|bld|db|snp)-[a-z2-7]{12}")


def new(kind: str) -> str:
    """A new identifier: `app-k3x…`. Kinds are prj, app, bld, db and snp."""
    return f"{kind}-{base64.b32encode(secrets.token_bytes(10)).decode().lower()[:12]}"


def is_id(text: str) -> bool:
    """Whether `text` has the form of an identifier; names never may, so that both fit in one place of a URL."""
    return _ID.fullmatch(text) is not None
