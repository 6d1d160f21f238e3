"""Lists of very many objects that nobody needs any more, to be freed a few at a time.

Freeing a list frees all that is in it, in one piece: for the 250,000 statements of a large request that is refused, or
whose client leaves, a twentieth of a second for which every database of the worker would wait. A `Gradual` list comes
here instead, whoever lets go of it, and the leader frees it in slices (`dataplane.service`).
"""

from collections import deque
from time import monotonic
from typing import Any, TypeVar

T = TypeVar("T")
FEW = 1_000
"""As many objects may be freed at once."""
_AT_ONCE = 100
left: deque[list[Any]] = deque()
"""What is to be freed. Any thread appends; only the leader takes away."""


class Gradual(list[T]):
    """A list that is not freed at once."""

    __slots__ = ()

    def __del__(self) -> None:
        leave(self)


def gradual(items: list[T]) -> list[T]:
    """Return `items` as a list that is freed gradually, if they are many."""
    return Gradual(items) if len(items) > FEW else items


def leave(items: list[Any]) -> None:
    """Have `items` freed, which nobody else has; if they are few, that is done with the last reference to them."""
    if len(items) > FEW:
        left.append(items)


def free(seconds: float) -> None:
    """Free what takes so long, or little more."""
    until = monotonic() + seconds
    while left:
        items = left[0]
        del items[-_AT_ONCE:]
        if not items:
            left.popleft()
        if monotonic() >= until:
            return
