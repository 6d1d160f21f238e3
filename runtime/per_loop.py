"""What there is one of per event loop, and a process has one loop. A leaf module: it imports nothing of brrrd."""

import asyncio
from typing import Any, ClassVar, Self


class PerLoop:
    """Subclasses are made by `here`, which passes nothing."""

    _last: ClassVar[Any] = None

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()

    @classmethod
    def here(cls) -> Self:
        """Return the running loop's."""
        last: Self | None = cls._last
        if last is None or last.loop is not asyncio.get_running_loop():
            last = cls._last = cls()
        return last
