"""How many connections to the outside are open: of one app, and in all. Pure.

A pool asks before it opens one. Where there is no room it closes a connection that idles, of its own app if the app has
its share, of any app if the process has its own; only then is a request refused.
"""

from collections import Counter
from collections.abc import Callable

from router.egress.errors import EgressError

MAX_PER_APP = 256
LIMIT = "outbound_connections"
"""Name of that limit, for the app's log and in metrics."""


class Sockets:
    """The count. `most` bounds the process."""

    def __init__(self, most: int, most_per_app: int = MAX_PER_APP) -> None:
        self._most = most
        self._most_per_app = most_per_app
        self._total = 0
        self._apps: Counter[str] = Counter()
        self._idle: dict[object, Callable[[], bool]] = {}

    def __repr__(self) -> str:
        return f"<Sockets {self._total} of {self._most}, of {len(self._apps)} apps>"

    @property
    def total(self) -> int:
        """Connections that are open, or being opened."""
        return self._total

    def join(self, pool: object, close_idle: Callable[[], bool]) -> None:
        """Let a pool be asked to close one idle connection; `close_idle` tells whether it had one."""
        self._idle[pool] = close_idle

    def leave(self, pool: object) -> None:
        """Ask the pool no more."""
        del self._idle[pool]

    def take(self, app_id: str, close_own: Callable[[], bool]) -> None:
        """Count one more. Raises `EgressError` (limit) if there is no room and nothing idle to close."""
        if self._apps[app_id] >= self._most_per_app and not close_own():
            text = f"the app has as many connections open as the limit {LIMIT} = {self._most_per_app} allows"
            raise EgressError("limit", text, LIMIT)
        if self._total >= self._most and not (close_own() or any(close() for close in self._idle.values())):
            raise EgressError("limit", f"the node has {self._most} outbound connections open, as many as it may")
        self._total += 1
        self._apps[app_id] += 1

    def release(self, app_id: str) -> None:
        """Count one less."""
        self._total -= 1
        self._apps[app_id] -= 1
        if not self._apps[app_id]:
            del self._apps[app_id]
