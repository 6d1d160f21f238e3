"""Which way a request on an edge connection is answered: the shortest that does all that is to be done for it.

Called by `router.server` for every request; the ways are in `router.exchanges` and `router.asgi_exchange`.
"""

from typing import TYPE_CHECKING

from router.app import ASGIApp
from router.asgi_exchange import AsgiExchange
from router.assets import SMALL_BYTES
from router.dispatch import Route
from router.exchanges import AssetExchange, Exchange, HostExchange
from router.hosts import BadHostError
from router.requests import Request

if TYPE_CHECKING:
    from router.server import EdgeProtocol

_READING = frozenset((b"GET", b"HEAD"))


def exchange_for(connection: "EdgeProtocol", request: Request) -> Exchange:
    """The exchange that is to answer; what is wrong with the request, `router.app.Edge` says."""
    edge = connection.edge
    application: ASGIApp = edge
    if not request.special and request.problem is None:
        try:
            route = edge.dispatcher.find(request.host)
        except BadHostError:
            route = None
        if isinstance(route, Route):
            return _app_exchange(connection, request, route)
        if route is not None:
            application = edge.data_plane
    return AsgiExchange(connection, request, application)


def _app_exchange(connection: "EdgeProtocol", request: Request, route: Route) -> Exchange:
    edge, app, link = connection.edge, route.app, route.link
    if link is None and route.links:
        link = edge.dispatcher.pick(route)
    if route.assets is not None and request.method in _READING and app.unavailable is None:
        asset = route.assets.find(request.target.partition(b"?")[0].decode("latin-1"))
        if asset is not None:
            if asset.size <= SMALL_BYTES:
                return AssetExchange(connection, request, route, asset)
            return AsgiExchange(connection, request, edge)
    if link is not None and link.usable and app.has_worker and request.host.isascii():
        if not request.length or request.length <= edge.body_limit(route):
            return HostExchange(connection, request, route, link)
        request.problem = edge.body_too_large(route)
        route.counters.observe(request.problem.status, 0.0)
    return AsgiExchange(connection, request, edge)
