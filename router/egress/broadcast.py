"""Passes messages of one isolate of an app on to its others (BroadcastChannel): who hears what, and how much of it.

Called by the host's connections. Apps are told apart by the connection's identity, never by what a frame says. What is
sent is bounded per app, so that one app takes neither the process nor its memory from others. `now` is an argument, in
seconds of a monotonic clock.
"""

from collections.abc import Iterator
from typing import Generic, TypeVar

MAX_NAMES = 1000
"""Channels of one host; JavaScript refuses more itself."""
MAX_NAME_BYTES = 4096
DELIVERIES_PER_SECOND = 10_000.0
BYTES_PER_SECOND = float(16 << 20)
"""What one app's hosts may receive together, whoever sends it."""
MAX_MISSED = 65_535

Host = TypeVar("Host")


class BroadcastError(Exception):
    """A host does what JavaScript never does."""


class _App(Generic[Host]):
    """One app's channels: name to host to that host's number for it."""

    def __init__(self, now: float) -> None:
        self.names: dict[bytes, dict[Host, int]] = {}
        self.deliveries = DELIVERIES_PER_SECOND
        self.bytes = BYTES_PER_SECOND
        self.at = now

    def admits(self, size: int, now: float) -> bool:
        """Take one delivery of `size` bytes from what the app has left."""
        seconds = now - self.at
        self.at = now
        self.deliveries = min(DELIVERIES_PER_SECOND, self.deliveries + seconds * DELIVERIES_PER_SECOND)
        self.bytes = min(BYTES_PER_SECOND, self.bytes + seconds * BYTES_PER_SECOND)
        if self.deliveries < 1 or self.bytes < size:
            return False
        self.deliveries -= 1
        self.bytes -= size
        return True


class Channels(Generic[Host]):
    """All channels of the node's hosts. A host is whatever the caller uses for one; it is never called."""

    def __init__(self) -> None:
        self._apps: dict[str, _App[Host]] = {}
        self._numbers: dict[Host, dict[int, bytes]] = {}
        self._missed: dict[tuple[Host, int], int] = {}

    def __repr__(self) -> str:
        return f"<Channels {len(self._apps)} apps, {len(self._numbers)} hosts>"

    def subscribe(self, app_id: str, host: Host, number: int, name: bytes, now: float) -> None:
        """`number` stands for the channel `name` of the app from now on. Raises `BroadcastError`."""
        numbers = self._numbers.setdefault(host, {})
        if len(numbers) >= MAX_NAMES or len(name) > MAX_NAME_BYTES:
            raise BroadcastError(f"more than {MAX_NAMES} channels, or a name of {len(name)} bytes")
        listeners = self._app(app_id, now).names.setdefault(name, {})
        if number in numbers or host in listeners:
            raise BroadcastError("a channel was opened twice")
        numbers[number] = name
        listeners[host] = number

    def unsubscribe(self, app_id: str, host: Host, number: int) -> None:
        """The host hears of this channel no more."""
        name = self._numbers.get(host, {}).pop(number, None)
        if name is None:
            return
        self._missed.pop((host, number), None)
        app = self._apps[app_id]
        listeners = app.names[name]
        del listeners[host]
        if not listeners:
            del app.names[name]

    def leave(self, app_id: str, host: Host) -> None:
        """The host is gone."""
        for number in list(self._numbers.get(host, ())):
            self.unsubscribe(app_id, host, number)
        self._numbers.pop(host, None)
        # Not sooner: an app must not have its bounds anew by closing its channels.
        app = self._apps.get(app_id)
        if app is not None and not app.names:
            del self._apps[app_id]

    def receivers(self, app_id: str, sender: Host, number: int, size: int, now: float) -> Iterator[tuple[Host, int]]:
        """Who gets a message of `size` bytes from the sender's channel `number`, with the receiver's number for it.

        What is over the app's bound is counted as missed.
        """
        name = self._numbers.get(sender, {}).get(number)
        if name is None:
            return
        app = self._apps[app_id]
        for host, its_number in app.names[name].items():
            if host is sender:
                continue
            if app.admits(size, now):
                yield host, its_number
            else:
                self.missed(host, its_number)

    def missed(self, host: Host, number: int) -> None:
        """A message for this channel was not passed on."""
        key = host, number
        self._missed[key] = min(MAX_MISSED, self._missed.get(key, 0) + 1)

    def take_missed(self, host: Host, number: int) -> int:
        """How many messages the channel missed since it was last told."""
        return self._missed.pop((host, number), 0) if self._missed else 0

    def _app(self, app_id: str, now: float) -> _App[Host]:
        app = self._apps.get(app_id)
        if app is None:
            app = self._apps[app_id] = _App(now)
        return app
