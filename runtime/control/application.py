"""The control API as one ASGI application: routes, the operator token, nothing else."""

import hmac
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from runtime.control import (
    app_routes,
    audit_routes,
    cron_routes,
    database_routes,
    node_routes,
    openapi,
    page_routes,
    problems,
    snapshot_routes,
)
from runtime.control.endpoint import Endpoint, starlette_endpoint
from runtime.control.services import Services

ENDPOINTS: list[Endpoint] = [
    *node_routes.ENDPOINTS,
    *app_routes.ENDPOINTS,
    *cron_routes.ENDPOINTS,
    *database_routes.ENDPOINTS,
    *snapshot_routes.ENDPOINTS,
    *audit_routes.ENDPOINTS,
]


class OperatorToken:
    """Lets requests through that carry the operator token, or ask for one of the open paths."""

    def __init__(self, application: ASGIApp, token: str) -> None:
        self._application = application
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_open(scope["path"]) or self._is_operator(scope):
            await self._application(scope, receive, send)
            return
        answer = problems.response(
            401,
            "Unauthorized",
            "Send the operator token as Authorization: Bearer …; it is in the file operator-token of the data folder.",
        )
        await answer(scope, receive, send)

    def _is_operator(self, scope: Scope) -> bool:
        for name, value in scope["headers"]:
            if name == b"authorization":
                scheme, _, given = value.partition(b" ")
                return scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), self._token)
        return False


def _is_open(path: str) -> bool:
    return path in node_routes.OPEN_PATHS or page_routes.is_open(path)


def application(services: Services, token: str) -> ASGIApp:
    """The control API of a node."""
    description = msgspec.json.encode(openapi.document(ENDPOINTS, node_routes.OPEN_PATHS, services.version))

    async def describe(request: Request) -> Response:
        return Response(description, media_type="application/json")

    # Starlette answers 405 only if all methods of a path are in one route.
    by_path: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        by_path.setdefault(endpoint.path, {})[endpoint.method] = starlette_endpoint(endpoint, services)
    routes = [Route("/openapi.json", describe)]
    routes += [Route(path, _by_method(methods), methods=list(methods)) for path, methods in by_path.items()]
    routes += page_routes.routes(services)
    return OperatorToken(
        Starlette(routes=routes, exception_handlers={HTTPException: problems.on_http_exception}), token
    )


def _by_method(methods: dict[str, Any]) -> Any:
    async def dispatch(request: Request) -> Response:
        handler = methods["GET" if request.method == "HEAD" else request.method]
        answer: Response = await handler(request)
        return answer

    return dispatch
