"""The way of the database page's SQL to the data plane: on to an edge worker's Unix socket, as it is.

Called by `runtime.control.page_routes`, which says why there is one. Must never use the operator token.
"""

from collections.abc import AsyncIterator

import httpx
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from runtime.control import problems
from runtime.control.services import Services
from runtime.state import ids

CONNECT_SECONDS = 5.0
PASSED_TO_DATABASE = ("authorization", "content-type", "content-length", "accept-encoding")
PASSED_TO_BROWSER = ("content-type", "content-encoding", "vary", "retry-after", "www-authenticate")
"""Not the data plane's CORS headers: what is served here is for this origin only."""
_ENDPOINTS = {"cursor": "v3/cursor", "pipeline": "v3/pipeline"}


class SqlPassage:
    """Hands SQL requests on to an edge worker as they are, and streams the answer back."""

    def __init__(self, services: Services) -> None:
        # Kept connections could be those of a worker that has been replaced meanwhile.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._edges = [
            httpx.AsyncHTTPTransport(uds=path, limits=limits, verify=False)
            for path in services.supervisor.edge_sockets()
        ]
        self._host = next(iter(services.config.data_hosts()), "localhost")
        self._turn = 0

    async def answer(self, request: Request) -> Response:
        """One SQL request."""
        database_id = request.path_params["database"]
        endpoint = _ENDPOINTS.get(request.path_params["endpoint"])
        if not ids.is_id(database_id) or endpoint is None:
            return problems.response(404, "Not Found", "There is no such endpoint.")
        passed = [(name, value) for name in PASSED_TO_DATABASE for value in request.headers.getlist(name)]
        onward = httpx.Request(
            "POST",
            f"http://{self._host}/v1/{database_id}/{endpoint}",
            headers=passed,
            content=request.stream(),
            extensions={"timeout": {"connect": CONNECT_SECONDS}},
        )
        self._turn += 1
        try:
            answer = await self._edges[self._turn % len(self._edges)].handle_async_request(onward)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        except httpx.TransportError:
            return problems.response(503, "Service Unavailable", "The edge does not answer; try again.")
        headers = {name: answer.headers[name] for name in PASSED_TO_BROWSER if name in answer.headers}
        headers |= {"cache-control": "no-store", "x-content-type-options": "nosniff"}
        return StreamingResponse(_pieces(answer), answer.status_code, headers)


async def _pieces(answer: httpx.Response) -> AsyncIterator[bytes]:
    """The body as it arrives; when the browser leaves, this connection ends, and with it the statement."""
    assert isinstance(answer.stream, httpx.AsyncByteStream)
    try:
        async for piece in answer.stream:
            yield piece
    finally:
        await answer.stream.aclose()
