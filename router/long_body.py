"""A long body of known length on its way in, in place of the parser, which would copy every byte of it.

Used by `router.server` from the moment when the head, and what came of the body with it, are parsed.
"""

from collections.abc import Callable

LEAST_BYTES = 64 << 10
"""What is worth it: a parser for the next request is to be made afterwards."""


class LongBody:
    """`left` bytes that are still to come. `on_end(rest)` gets what follows them."""

    def __init__(self, left: int, on_body: Callable[[bytes], None], on_end: Callable[[bytes], None]) -> None:
        self.left = left
        self._on_body = on_body
        self._on_end = on_end

    def __repr__(self) -> str:
        return f"<LongBody, {self.left} bytes left>"

    def feed_data(self, data: bytes) -> None:
        """As the parser's."""
        left = self.left
        self._on_body(data[:left])  # all of it, uncopied, until the end comes
        self.left = left - min(left, len(data))
        if not self.left:
            self._on_end(data[left:])
