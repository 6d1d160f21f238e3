"""What names may look like: pure checks that raise `Problem` with the rule in words, 404 for what cannot exist."""

import re
from collections.abc import Mapping

import idna

from runtime.control.problems import Problem
from runtime.state import ids

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
MAX_VALUE_BYTES = 65_536
MAX_ENVIRONMENT_BYTES = 1 << 20
"""Keys and values of one app. Every isolate of it holds them, and each start of one sends them along."""


def new_name(name: str, kind: str) -> str:
    """A name for something new."""
    if not _NAME.fullmatch(name):
        raise Problem(
            400,
            f"{kind} name {_shown(name)} is not valid: use 1 to 63 of a-z, 0-9 and hyphen, not starting with a hyphen.",
        )
    if ids.is_id(name):
        raise Problem(400, f"{kind} name {_shown(name)} looks like an identifier; choose another one.")
    return name


def new_or_id(key: str, kind: str) -> str:
    """A name that may be new, or the id of something that exists."""
    return key if ids.is_id(key) else new_name(key, kind)


def name_or_id(key: str, kind: str) -> str:
    """A name or id of something that may exist."""
    if not _NAME.fullmatch(key):
        raise Problem(404, f"There is no {kind} {_shown(key)}.")
    return key


def host_name(text: str) -> str:
    """A host name to bind, exact or `*.suffix`, in lower case A-label form without port and trailing dot."""
    text = text.strip()
    name = text[:-1] if text.endswith(".") else text
    wildcard = name.startswith("*.")
    try:
        name = (
            idna.encode(name[2:] if wildcard else name, uts46=True).decode()
            if not name.isascii()
            else (name[2:] if wildcard else name)
        )
    except idna.IDNAError:
        raise Problem(400, f"{_shown(text)} is not a valid international host name.") from None
    name = name.lower()
    labels = name.split(".")
    if not all(_LABEL.fullmatch(label) for label in labels) or len(name) > 251 or labels[-1].isdigit():
        raise Problem(
            400, f"{_shown(text)} is not a host name: expected a name as in shop.example.com or *.example.com, no port."
        )
    if wildcard and len(labels) < 2 and name != "localhost":
        raise Problem(400, f"{_shown(text)} covers a whole top-level domain; name at least *.example.com.")
    return f"*.{name}" if wildcard else name


def is_local(name: str) -> bool:
    """Names that need no DNS (RFC 6761 §6.3)."""
    return name == "localhost" or name.endswith(".localhost")


def variable(key: str, value: str) -> None:
    """Check an environment variable."""
    if not _KEY.fullmatch(key):
        raise Problem(400, f"variable name {_shown(key)} is not valid: use letters, digits and _, not a digit first.")
    if len(value.encode("utf-8", "replace")) > MAX_VALUE_BYTES or "\0" in value:
        raise Problem(400, f"the value of {key} must have at most {MAX_VALUE_BYTES} bytes and no NUL.")


def environment(variables: Mapping[str, str]) -> None:
    """Check all variables of an app together."""
    size = sum(len(key) + len(value.encode("utf-8", "replace")) for key, value in variables.items())
    if size > MAX_ENVIRONMENT_BYTES:
        raise Problem(
            400, f"the variables of one app may have {MAX_ENVIRONMENT_BYTES} bytes together; these have {size}."
        )


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:80] + "…")
