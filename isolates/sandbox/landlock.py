"""Landlock: which files a process may open, whatever its user may. Source: Documentation/userspace-api/landlock.rst.

The ruleset handles every kind of access that the kernel knows, so that whatever no rule allows is denied: writing,
creating, running and reading files, TCP, abstract Unix sockets of others, and signals to others. Looking a path up and
connecting to a Unix socket by path are not covered by Landlock; the user and the socket's mode decide there.
"""

import struct

from isolates.sandbox import kernel

READ_FILE = 1 << 2
READ_DIRECTORY = 1 << 3
_FILE_ACCESSES = ((1, 13), (2, 14), (3, 15), (5, 16))
"""Version, and how many kinds of access to files it knows (each a bit, in order)."""
_NETWORK_VERSION = 4
_BIND_AND_CONNECT_TCP = 3
_SCOPE_VERSION = 6
_ABSTRACT_SOCKETS_AND_SIGNALS = 3


def ruleset(version: int) -> bytes:
    """Return the `struct landlock_ruleset_attr` that handles all a kernel with `version` of the interface can."""
    accesses = max(count for since, count in _FILE_ACCESSES if since <= version)
    words = [(1 << accesses) - 1]
    if version >= _NETWORK_VERSION:
        words.append(_BIND_AND_CONNECT_TCP)
    if version >= _SCOPE_VERSION:
        words.append(_ABSTRACT_SOCKETS_AND_SIGNALS)
    return struct.pack(f"<{len(words)}Q", *words)


def restrict(version: int, folder: int) -> None:
    """From now on only files beneath `folder`, a descriptor, can be opened, and only to read. Raises `OSError`."""
    kernel.landlock(ruleset(version), [(folder, READ_FILE | READ_DIRECTORY)])
