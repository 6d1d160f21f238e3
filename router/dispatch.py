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
from router.hosts import HostCache, normalise
from router.links import HostLink
from router.messages import App, AppStats, Routes
from router.stats import Counters

log = logging.getLogger("router.dispatch")

HOST_WAIT_SECONDS = 5.0
"""How long a request waits for an app whose host is being started."""
RECONNECT_SECONDS = 0.25
SWEEP_SECONDS = 0.05
RETRY_AFTER_SECONDS = 1
UNREADABLE = "The static files of this build cannot be read; deploy it again."


class DataHost:
    """What the names of the data plane lead to."""


DATA_HOST: Final = DataHost()


class Route:
    """One app as requests see it: its active build's settings, static files and link. Replaced on every change."""

    __slots__ = ("app", "assets", "counters", "link")

    def __init__(self, app: App, assets: AssetIndex | None, link: HostLink | None, counters: Counters) -> None:
        self.app = app
        self.assets = assets
        self.link = link
        """The link that new requests take at once, or None: `Dispatcher.wait_for_link`."""
        self.counters = counters

    def __repr__(self) -> str:
        return f"<Route {self.app.project}/{self.app.app} {self.app.build_id} {self.link or 'no host'}>"


class Dispatcher:
    """The routing table in use.

    `db_hosts` are the data plane's own names, which no app can take. `on_host_gone` is called with a host id when its
    connection broke without the supervisor having asked for it.
    """

    def __init__(self, db_hosts: Iterable[str], on_host_gone: Callable[[str], None] = lambda host_id: None) -> None:
        self.version = 0
        self._data_names: dict[str, Route | DataHost] = {normalise(name.encode()): DATA_HOST for name in db_hosts}
        self._on_host_gone = on_host_gone
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
                link = self._link(app, before.get(app_id))
                counters = self._counters.setdefault(app_id, Counters())
                self._routes[app_id] = Route(app, index, link, counters)
            names: dict[str, Route | DataHost] = {
                name: self._routes[app_id] for name, app_id in routes.hosts.items() if app_id in self._routes
            }
            self.find = HostCache(names | self._data_names).find
            self.version = routes.version
            used = {route.link for route in self._routes.values()}
            for link in self._links - used:
                link.retire()
            for app_id in self._counters.keys() - self._routes.keys():
                del self._counters[app_id]
            self._announce()

    async def wait_for_link(self, route: Route) -> HostLink:
        """Return a link for the app of `route`, waiting for its host up to `HOST_WAIT_SECONDS`.

        Raises `EdgeError` 503: quarantined (at once), or no host in time.
        """
        app_id = route.app.app_id
        deadline = time.monotonic() + HOST_WAIT_SECONDS
        while True:
            current = self._routes.get(app_id)
            if current is None:
                raise EdgeError(404)
            if current.app.unavailable is not None:
                raise EdgeError(503, current.app.unavailable, code="unavailable", retry_after=60)
            if current.link is not None and current.link.usable:
                return current.link
            left = deadline - time.monotonic()
            if left <= 0:
                raise EdgeError(503, code="starting", retry_after=RETRY_AFTER_SECONDS)
            try:
                async with asyncio.timeout(min(left, RECONNECT_SECONDS)):
                    await self._changed.wait()
            except TimeoutError:
                if current.link is None or current.link.gone:
                    # The table still names this host: perhaps only the connection broke.
                    current.link = self._link(current.app, None)

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

    def _link(self, app: App, before: Route | None) -> HostLink | None:
        if app.host_id is None or app.host_socket is None or app.unavailable is not None:
            return None
        if before is not None and before.link is not None:
            link = before.link
            if not (link.gone or link.retired) and link.host_id == app.host_id and link.path == app.host_socket:
                link.wall_seconds = app.wall_ms / 1000
                return link
        link = HostLink(app.host_id, app.host_socket, app.wall_ms / 1000, self._link_changed)
        self._links.add(link)
        return link

    def _link_changed(self, link: HostLink) -> None:
        if link.gone:
            self._links.discard(link)
            if not link.retired:
                self._on_host_gone(link.host_id)
        else:
            self._announce()

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = time.monotonic()
            for link in list(self._links):
                link.sweep(now)
