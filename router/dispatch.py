"""Which app a request goes to, and which host: the routing table in use and the links that belong to it.

The supervisor pushes whole tables; `Dispatcher.apply` replaces the one in use in a single step, so a request sees
either the old or the new one, and what is in flight stays on the link it began on. Used by `router.app` and
`router.server`.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from artifacts.index import AssetIndex
from router.errors import EdgeError
from router.hosts import HostCache, assets_name, normalise
from router.links import HostLink
from router.messages import App, AppStats, Coming, HostGone, Routes, Stalled, Wake
from router.occupancy import Occupancy
from router.stats import Counters

log = logging.getLogger("router.dispatch")

HOST_WAIT_SECONDS = 10.0
"""How long a request waits for an app whose host is being started. Usually milliseconds; after the zygote's death all
apps of the node are started anew, which takes seconds on a machine that is busy."""
RECONNECT_SECONDS = 0.25
SWEEP_SECONDS = 0.025
"""How often deadlines are looked at, and hosts that are silent."""
WAKE_SECONDS = 1.0
RETRY_AFTER_SECONDS = 1
UNREADABLE = "The static files of this build cannot be read; deploy it again."


class DataHost:
    """What the names of the data plane lead to."""


DATA_HOST: Final = DataHost()


class Route:
    """One app as requests see it: its active build's settings, static files and links. Replaced on every change."""

    __slots__ = ("app", "assets", "counters", "link", "links", "waiting", "wake_due")

    def __init__(self, app: App, assets: AssetIndex | None, links: list[HostLink], counters: Counters) -> None:
        self.app = app
        self.assets = assets
        self.take(links)
        self.counters = counters
        self.waiting = 0
        """Requests that wait for a link."""
        self.wake_due = 0.0
        """When, by the monotonic clock, the supervisor is asked for a host again."""

    def take(self, links: list[HostLink]) -> None:
        """Have requests go over these links."""
        self.links = links
        self.link = links[0] if len(links) == 1 else None
        """The only link, which is the usual case and the shortest way."""

    def __repr__(self) -> str:
        return f"<Route {self.app.project}/{self.app.app} {self.app.build_id} {self.links or 'no host'}>"


def least_loaded(links: Iterable[HostLink]) -> HostLink | None:
    """Return the usable link with the fewest requests, the first of several; None if there is none."""
    return min((link for link in links if link.usable), key=lambda link: len(link.streams), default=None)


class Dispatcher:
    """The routing table in use.

    `db_hosts` are the data plane's own names, which no app can take. `tell` sends a message to the supervisor.
    `occupancy` counts requests of apps with several hosts together with the other edge workers.
    """

    def __init__(
        self,
        db_hosts: Iterable[str],
        tell: Callable[[HostGone | Wake | Stalled], None] = lambda message: None,
        occupancy: Occupancy | None = None,
    ) -> None:
        self.version = 0
        self._data_names: dict[str, Route | DataHost] = {normalise(name.encode()): DATA_HOST for name in db_hosts}
        self._tell = tell
        self._occupancy = occupancy or Occupancy(-1, 0, 1)
        self._routes: dict[str, Route] = {}
        self.find: Callable[[bytes], Route | DataHost | None] = HostCache(self._data_names).find
        """Return what a Host header value leads to. Raises `BadHostError`. Another function after each `apply`."""
        self._links: set[HostLink] = set()
        self._counters: dict[str, Counters] = {}
        self._changed = asyncio.Event()
        self._applying = asyncio.Lock()
        self._sweeper = asyncio.get_running_loop().create_task(self._sweep())

    def __repr__(self) -> str:
        return f"<Dispatcher version {self.version}: {len(self._routes)} apps, {len(self._links)} links>"

    async def apply(self, routes: Routes) -> None:
        """Put `routes` in use. New asset indexes are read first, off the loop; everything else is one step."""
        async with self._applying:
            assets = await self._assets(routes)
            before = self._routes
            self._routes = {}
            for app_id, app in routes.apps.items():
                index = assets.get(app.asset_index) if app.asset_index else None
                if app.asset_index and index is None:
                    app = msgspec.structs.replace(app, unavailable=UNREADABLE)
                old = before.get(app_id)
                counters = self._counters.setdefault(app_id, Counters())
                route = self._routes[app_id] = Route(app, index, self._links_of(app, old), counters)
                if old is not None:
                    route.waiting = old.waiting
            names: dict[str, Route | DataHost] = {
                name: self._routes[app_id] for name, app_id in routes.hosts.items() if app_id in self._routes
            }
            names |= {
                assets_name(app_id): _files_of(route)
                for app_id, route in self._routes.items()
                if route.assets is not None and route.app.has_worker
            }
            self.find = HostCache(names | self._data_names).find
            self.version = routes.version
            used = {link for route in self._routes.values() for link in route.links}
            for link in self._links - used:
                link.retire()
            for old in before.values():
                if old.app.slot >= 0:
                    self._publish(old.app.app_id, old.app.slot)
            for app_id in self._counters.keys() - self._routes.keys():
                del self._counters[app_id]
            self._announce()

    def expect(self, coming: Coming) -> None:
        """Connect to a host that is being started, if the app has none."""
        route = self._routes.get(coming.app_id)
        if route is None or route.app.build_id != coming.build_id:
            return
        if not all(link.gone or link.expected for link in route.links):
            return
        for link in route.links:
            link.retire()  # it did not come up
        host, wall_seconds = coming.upstream, route.app.wall_ms / 1000
        link = HostLink(host.host_id, host.socket, wall_seconds, self._link_changed, expected=True)
        self._links.add(link)
        route.take([link])

    def pick(self, route: Route) -> HostLink | None:
        """Return a link that a request may take now; None: `wait_for_link`."""
        link = route.link
        if link is not None:
            return link if link.usable else None
        link = least_loaded(route.links)
        if link is not None and not self._occupancy.admit(
            route.app.slot, _requests(route), route.app.max_concurrent_requests
        ):
            for full in route.links:
                full.on_room = self._announce
            return None
        return link

    def pick_for_socket(self, route: Route) -> HostLink | None:
        """Return a usable link for a new WebSocket, that with the fewest; None: `wait_for_link`."""
        return min((link for link in route.links if link.usable), key=lambda link: len(link.sockets), default=None)

    async def wait_for_link(self, route: Route) -> HostLink:
        """Return a link for the app of `route`, waiting for one up to `HOST_WAIT_SECONDS`.

        Raises `EdgeError` 503: quarantined (at once), too many wait already, no host in time, or all of them blocked or
        full for longer than `queue_ms`.
        """
        app_id = route.app.app_id
        began = time.monotonic()
        while True:
            current = self._routes.get(app_id)
            if current is None:
                raise EdgeError(404)
            if current.app.unavailable is not None:
                raise EdgeError(503, current.app.unavailable, code="unavailable", retry_after=60)
            link = self.pick(current)
            if link is not None:
                return link
            left = began + _patience(current) - time.monotonic()
            # At the host as many requests as the cap may run, and as many wait.
            if left <= 0 or current.waiting >= 2 * current.app.max_concurrent_requests:
                code = "overloaded" if _is_up(current) else "starting"
                if code == "overloaded":
                    current.counters.over(_limit(current))
                raise EdgeError(503, code=code, retry_after=RETRY_AFTER_SECONDS)
            if not current.links and time.monotonic() >= current.wake_due:
                current.wake_due = time.monotonic() + WAKE_SECONDS
                self._tell(Wake(app_id))
            await self._wait_for_change(current, min(left, RECONNECT_SECONDS))

    async def _wait_for_change(self, route: Route, seconds: float) -> None:
        changed = self._changed
        route.waiting += 1
        try:
            async with asyncio.timeout(seconds):
                await changed.wait()
        except TimeoutError:
            if any(link.gone for link in route.links) and self._routes.get(route.app.app_id) is route:
                # The table still names this host: perhaps only the connection broke.
                route.take(self._links_of(route.app, route))
        finally:
            # The route may have been replaced meanwhile, and its successor begun with this request counted.
            current = self._routes.get(route.app.app_id, route)
            current.waiting = max(0, current.waiting - 1)

    @property
    def in_flight(self) -> int:
        """Requests now at hosts."""
        return sum(len(link.streams) for link in self._links)

    def stats(self) -> dict[str, AppStats]:
        """Return every app's counters."""
        return {app_id: counters.snapshot() for app_id, counters in self._counters.items()}

    async def aclose(self) -> None:
        """Close every link; what is still in flight is lost."""
        self._sweeper.cancel()
        for link in list(self._links):
            link.close()
        await asyncio.gather(self._sweeper, return_exceptions=True)

    async def _assets(self, routes: Routes) -> dict[str, AssetIndex]:
        known = {route.app.asset_index: route.assets for route in self._routes.values() if route.assets is not None}
        found: dict[str, AssetIndex] = {}
        for path in {app.asset_index for app in routes.apps.values() if app.asset_index}:
            index = known.get(path)
            try:
                found[path] = await asyncio.to_thread(AssetIndex.load, path) if index is None else index
            except (OSError, msgspec.MsgspecError) as error:
                # This costs the app its service, and not the worker all of them.
                log.error("asset index %s: %s", path, error)
        return found

    def _links_of(self, app: App, before: Route | None) -> list[HostLink]:
        """Return links to the app's hosts: those there were as far as they are good, else new ones."""
        if app.unavailable is not None:
            return []
        if not app.upstreams and before is not None and before.app.build_id == app.build_id:
            return [link for link in before.links if link.expected and not (link.gone or link.retired)]
        known = {(link.host_id, link.path): link for link in before.links} if before is not None else {}
        links = []
        for upstream in app.upstreams:
            link = known.get((upstream.host_id, upstream.socket))
            if link is None or link.gone or link.retired:
                link = HostLink(upstream.host_id, upstream.socket, app.wall_ms / 1000, self._link_changed)
                self._links.add(link)
            link.wall_seconds = app.wall_ms / 1000
            link.expected = False
            links.append(link)
        return links

    def _link_changed(self, link: HostLink) -> None:
        if link.gone:
            self._links.discard(link)
            if not link.retired:
                self._tell(HostGone(link.host_id))
        else:
            self._announce()

    def _publish(self, app_id: str, slot: int) -> None:
        """Let the other edge workers know how many requests of an app are at its hosts, if it has several."""
        route = self._routes.get(app_id)
        several = route is not None and route.app.slot == slot and len(route.links) > 1
        self._occupancy.publish(slot, _requests(route) if route is not None and several else 0)

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = time.monotonic()
            for link in list(self._links):
                link.sweep(now)
                if link.stalled():
                    self._tell(Stalled(link.host_id))
            for app_id, route in self._routes.items():
                if len(route.links) > 1:
                    self._publish(app_id, route.app.slot)


def _files_of(route: Route) -> Route:
    """Return a route to an app's static files alone, for the app's own code, whose requests are not counted again."""
    return Route(msgspec.structs.replace(route.app, has_worker=False), route.assets, [], Counters())


def _requests(route: Route) -> int:
    return sum(len(link.streams) for link in route.links)


def _is_up(route: Route) -> bool:
    """Whether there is a host, so that it is its requests that one waits for."""
    return any(link.usable or link.blocked for link in route.links)


def _limit(route: Route) -> str:
    """Return the name of the limit for which no host takes a request: all have enough of them, or none yields."""
    return "max_concurrent_requests" if any(link.usable for link in route.links) else "max_isolates"


def _patience(route: Route) -> float:
    """Return for how many seconds a request waits: for the app as long as in its queue, for its start a fixed time."""
    return route.app.queue_ms / 1000 if _is_up(route) else HOST_WAIT_SECONDS
