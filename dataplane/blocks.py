"""A body in blocks that lie where they were made: to join those of a long answer would hold up others for long.

Made by the encodings of answers (`dataplane.json_answers`, `dataplane.protobuf_answers`), and cut into frames by
`dataplane.wire`. Knows nothing of either.
"""

from collections.abc import Sequence
from itertools import chain
from typing import TypeAlias, cast

FEW_BYTES = 16 << 10
"""What is not longer is joined: that costs less than many blocks do."""


class Blocks:
    """Bytes that follow each other."""

    __slots__ = ("_size", "blocks")

    def __init__(self, blocks: Sequence[bytes | memoryview]) -> None:
        self.blocks = blocks
        self._size = sum(map(len, blocks))

    def __len__(self) -> int:
        """Return how many bytes there are."""
        return self._size

    def __repr__(self) -> str:
        return f"<Blocks [{self._size} bytes in {len(self.blocks)}]>"


Body: TypeAlias = bytes | Blocks


def of(part: Body) -> Sequence[bytes | memoryview]:
    """Return the blocks of a part."""
    return part.blocks if isinstance(part, Blocks) else (part,)


def joined(parts: Sequence[Body]) -> Body:
    """Return parts that follow each other as one: bytes if all of them are."""
    if Blocks in map(type, parts):
        return Blocks(list(chain.from_iterable(map(of, parts))))
    return b"".join(cast(Sequence[bytes], parts))
