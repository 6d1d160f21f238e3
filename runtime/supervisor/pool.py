"""The hosts of one app, and what to do about their number: state and decisions without I/O, `now` is an argument.

`isolate_hosts.py` keeps one `Pool` per app with a worker and does what is decided here. Times are monotonic seconds.
"""

from collections.abc import Mapping

import msgspec

from runtime.supervisor.host import Host
from runtime.supervisor.hosts import Recovery
from runtime.supervisor.placement import Placement

CALM_SECONDS = 30.0
"""A pool shrinks by one host when none of its hosts was blocked for that long."""
RECENT_SECONDS = 60.0
"""An app that was asked for this recently is brought back at once when the zygote took its hosts down."""


class Bounds(msgspec.Struct, frozen=True):
    """How many hosts an app has, and when it needs none."""

    least: int = 0
    most: int = 1
    idle_seconds: float = 600.0


class Pool:
    """One app's hosts. The first one is the one that a deploy brought up, or its successor."""

    def __init__(self, placement: Placement, now: float) -> None:
        self.placement = placement
        self.hosts: list[Host] = []
        """Those that serve, in the order in which the edge prefers them."""
        self.starting = 0
        self.recovery = Recovery()
        self.unavailable: str | None = None
        self.slot = -1
        """Where edge workers count the app's requests together; -1 as long as it never had two hosts."""
        self.used = now
        """When it was last seen to have work."""
        self.blocked = float("-inf")
        """When one of its hosts was last blocked."""

    def __repr__(self) -> str:
        return f"<Pool {self.placement.app}: {len(self.hosts)} hosts, {self.starting} starting>"

    @property
    def dormant(self) -> bool:
        """Whether the app waits for its next request to be started."""
        return not self.hosts and not self.starting and self.unavailable is None

    def bounds(self, node: Bounds) -> Bounds:
        """The node's bounds, narrowed by the app's own limit."""
        own = self.placement.max_isolates
        most = node.most if own is None else min(own, node.most)
        return Bounds(min(node.least, most), most, node.idle_seconds)


def may_grow(pool: Pool, bounds: Bounds) -> bool:
    """Whether one more host is needed and allowed: every host there is does not get to new requests."""
    if pool.starting or pool.unavailable is not None or not pool.hosts:
        return False
    return len(pool.hosts) < bounds.most and all(host.blocked for host in pool.hosts)


def for_run(pool: Pool) -> Host | None:
    """The host that runs a cron: the first one that yields, else the first one; None if there is none."""
    return next((host for host in pool.hosts if not host.blocked), pool.hosts[0] if pool.hosts else None)


def surplus(pool: Pool, bounds: Bounds, now: float) -> list[Host]:
    """Hosts to drain: all when the app is idle, else the last one of a pool that has been calm, down to `least`.

    None that has WebSockets open.
    """
    if pool.starting or len(pool.hosts) <= bounds.least or any(host.blocked for host in pool.hosts):
        return []
    if now - pool.used >= bounds.idle_seconds and not any(is_busy(host) for host in pool.hosts):
        return pool.hosts[bounds.least :]
    last = pool.hosts[-1]
    if len(pool.hosts) > max(1, bounds.least) and not last.firing and now - pool.blocked >= CALM_SECONDS:
        return [] if _has_websockets(last) else [last]
    return []


def is_busy(host: Host) -> bool:
    """Whether it had requests or WebSockets when it last reported, or runs a cron."""
    if host.firing:
        return True
    return host.stats is not None and bool(host.stats.active or host.stats.queued or host.stats.websockets)


def _has_websockets(host: Host) -> bool:
    """Whether draining it would cut off clients, which it need not: there is no hurry to shrink."""
    return host.stats is not None and bool(host.stats.websockets)


def elsewhere(pool: Pool) -> list[tuple[Host, int]]:
    """For each host how many WebSockets the others had when they last reported."""
    counts = [host.stats.websockets if host.stats is not None else 0 for host in pool.hosts]
    total = sum(counts)
    return [(host, total - count) for host, count in zip(pool.hosts, counts, strict=True)]


def revival(pools: Mapping[str, Pool], now: float) -> list[str]:
    """Apps to bring back when all hosts died at once, those asked for last first; the others wait to be asked for."""
    lost = [(pool.used, app_id) for app_id, pool in pools.items() if not pool.hosts and not pool.starting]
    return [app_id for used, app_id in sorted(lost, reverse=True) if now - used < RECENT_SECONDS]
