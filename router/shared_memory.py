"""Memory that this edge worker shares with one isolate host, into which it reads bodies (`router.placed_body`).

The host says where (`isolates.wire`, PLACE) and is told when a body is there. It is not trusted: what it says is
checked, the size is sealed, so that no memory can be taken away under a read, and nothing in it is ever looked at.
"""

import fcntl
import mmap
import os

from isolates.wire import MEMORY_BYTES

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class SharedMemory:
    """`descriptor` is for the host. Raises `OSError`."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("brrrd-bodies", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self.descriptor, MEMORY_BYTES)
            fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, _SEALS)
        except OSError:
            os.close(self.descriptor)
            raise
        self._view: memoryview | None = None

    def __repr__(self) -> str:
        return f"<SharedMemory{'' if self._view is None else ', mapped'}>"

    def part(self, offset: int, size: int) -> memoryview | None:
        """Return `size` bytes from `offset` on; None if there are none. Raises `OSError`."""
        if not 0 <= offset <= MEMORY_BYTES - size:
            return None
        if self._view is None:
            # Not before it is needed: few apps are sent large bodies.
            self._view = memoryview(mmap.mmap(self.descriptor, MEMORY_BYTES))
        return self._view[offset : offset + size]

    def close(self) -> None:
        """Let go of the descriptor; what `part` returned stays."""
        self._view = None
        os.close(self.descriptor)
