"""Frames of `isolates.wire` out of what a socket delivers, which tears them anywhere. Used by whoever reads them here:
`router.links`, `router.egress` and `router.cache`.
"""

from isolates.wire import Frame, decode

LARGE_BYTES = 8 << 10
"""Where a copy costs more than the steps that save it."""


class FrameReader:
    """Keeps the beginning of a frame until its end arrives."""

    def __init__(self) -> None:
        self._partial = b""

    def __repr__(self) -> str:
        return f"<FrameReader {len(self._partial)} bytes kept>"

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that are complete by `data`. Raises `FrameError`."""
        before, start, partial = None, 0, self._partial
        if partial:
            missing = int.from_bytes(partial[:4], "little") - len(partial)
            if len(data) >= LARGE_BYTES and len(partial) >= 4 and 0 < missing <= len(data):
                # Only the frame that was torn is put together: the rest stays where it is.
                before, _ = decode(partial + data[:missing])
                start = missing
            else:
                data = partial + data
        frames, used = decode(data, start)
        self._partial = data[used:] if used < len(data) else b""
        return before + frames if before else frames
