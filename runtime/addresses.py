"""Addresses of listeners as text: `host:port`, where an IPv6 address is in brackets. Pure.

Used wherever the configuration's addresses are taken apart, and addresses put together to be told.
"""

WILDCARDS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104  hosts to recognise, not to bind
"""Hosts that stand for all addresses of the machine."""


def parse_address(text: str, key: str) -> tuple[str, int]:
    """Split `host:port` or `[v6]:port`. Raises `ValueError` naming `key`."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{key}: an IPv6 address needs brackets, as in [::1]:8080")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{key}: expected host:port, as in 127.0.0.1:8080, not {text!r}")
    return host, int(port)


def bracketed(host: str) -> str:
    """Return a host as URLs and Host headers have it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def join_address(host: str, port: int) -> str:
    """The reverse of `parse_address`."""
    return f"{bracketed(host)}:{port}"
