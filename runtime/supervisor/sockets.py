"""Listening sockets that the supervisor binds and keeps open, so that a restarted worker takes its socket over.

Connections that arrive while a worker restarts wait in the socket's backlog instead of being refused.
"""

import errno
import os
import socket
from pathlib import Path

from runtime.config import ConfigError

BACKLOG = 2048
LONGEST_UNIX_PATH = 107
"""Bytes of `sun_path` on Linux, without its NUL."""


def listen_tcp(host: str, port: int, count: int, key: str) -> list[socket.socket]:
    """Bind `count` sockets to one address with SO_REUSEPORT; the kernel spreads connections over them.

    `key` is the setting to name in the `ConfigError` that an address in use raises.
    """
    family, _, _, _, address = _resolve(host, port, key)
    # SO_REUSEPORT alone would let a second node of the same user share the port without a word.
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _bind(probe, address, key)
        address = (host, probe.getsockname()[1], *address[2:])
    sockets = []
    for _ in range(count):
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6 and host == "::":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        _bind(sock, address, key)
        sock.listen(BACKLOG)
        sock.setblocking(False)
        sockets.append(sock)
    return sockets


def listen_unix(path: Path) -> socket.socket:
    """Bind a listening Unix socket at `path`, replacing a stale one. The caller owns the folder and its lock."""
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(path))
    sock.listen(BACKLOG)
    sock.setblocking(False)
    return sock


def _resolve(host: str, port: int, key: str) -> tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise ConfigError(f"{key}: {host!r} is not an address of this machine: {error.strerror}") from None
    return found[0]  # type: ignore[return-value]


def _bind(sock: socket.socket, address: tuple[object, ...], key: str) -> None:
    try:
        sock.bind(address)
    except OSError as error:
        host, port = address[:2]
        if error.errno == errno.EADDRINUSE:
            sentence = f"port {port} on {host} is in use; stop what uses it, or set another {key} address"
        elif error.errno == errno.EACCES:
            sentence = f"no permission to listen on port {port}; use a port from 1024 up, or grant CAP_NET_BIND_SERVICE"
        else:
            sentence = f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}"
        raise ConfigError(f"{key}: {sentence}") from None
