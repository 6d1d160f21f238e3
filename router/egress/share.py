"""What the connections of one app's isolate hosts have together: the bound on requests under way, turns at its edge.

An app may have several hosts, each with a connection of its own (`router.egress.connection`); its limits hold over all.
"""

import asyncio
from typing import Protocol

from router.egress.resolver import Lane, lane
from router.identity import SubrequestLimits

LONG_TURN_SECONDS = 0.004
"""Of the process's loop. Requests of an app that keeps it busier than that are let through fewer at once."""

LEAST = 16
"""That many of an app are always let through."""


class Queue(Protocol):
    """A connection with requests that wait for their turn."""

    def begin_next(self) -> bool:
        """Begin the request that has waited longest; False: none waits any more."""


class Share:
    """The state of one app. Kept as long as one of its hosts is connected."""

    def __init__(self, limits: SubrequestLimits) -> None:
        self.limits = limits
        """Of the build that connected last."""
        self.active = 0
        """Requests under way."""
        self.room = limits.concurrent
        """How many may be under way now: fewer than the limit while the loop's turns are long."""
        self.hosts = 0
        """Connections."""
        self.held = 0
        """Bytes of bodies to and from databases that wait (`router.egress.databases`)."""
        self.lane: Lane = lane()
        self._waiting: dict[Queue, None] = {}
        self._asked: float | None = None
        """When the next look was asked for."""

    def __repr__(self) -> str:
        return f"<Share {self.active} of {self.limits.concurrent} active, {len(self._waiting)} hosts wait>"

    def wait(self, queue: Queue) -> None:
        """Let a connection have its turn when there is room."""
        self._waiting[queue] = None

    def leave(self, queue: Queue) -> None:
        """The connection has gone."""
        self._waiting.pop(queue, None)

    def release(self) -> None:
        """A request is over."""
        self.active -= 1
        if self._asked is None and (self._waiting or self.active >= LEAST):
            # Not at once: a request that fails as soon as it begins would come back here, once for each that waits.
            loop = asyncio.get_running_loop()
            self._asked = loop.time()
            loop.call_soon(self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin requests that have waited, as many as there is room for after the turn that has just ended."""
        assert self._asked is not None
        self.room = room(self.room, self.limits.concurrent, self.active, loop.time() - self._asked)
        self._asked = None
        while self._waiting and self.active < self.room:
            queue = next(iter(self._waiting))
            del self._waiting[queue]
            if queue.begin_next():
                self._waiting[queue] = None


def room(now: int, most: int, active: int, turn_seconds: float) -> int:
    """Return how many requests of an app may be under way after a turn of the loop that took so long.

    A turn's length is what every other app's requests wait, several times each. With servers that take their time it
    stays short however many requests there are; with quick ones the same rate needs fewer at once.
    """
    if turn_seconds > LONG_TURN_SECONDS and active > LEAST:
        return max(LEAST, min(now, active) * 7 // 8)
    return min(most, now + 2)


class Shares:
    """The shares of all apps that are connected."""

    def __init__(self) -> None:
        self._apps: dict[str, Share] = {}

    def join(self, app_id: str, limits: SubrequestLimits) -> Share:
        """A host has connected."""
        share = self._apps.get(app_id)
        if share is None:
            share = self._apps[app_id] = Share(limits)
        share.limits = limits
        share.room = min(share.room, limits.concurrent)
        share.hosts += 1
        return share

    def leave(self, app_id: str, queue: Queue) -> None:
        """A host's connection has gone; its requests were released before."""
        share = self._apps[app_id]
        share.leave(queue)
        share.hosts -= 1
        if not share.hosts:
            del self._apps[app_id]
