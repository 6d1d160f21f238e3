"""The database page: its files at `/ui/`, and the way of its SQL to the data plane, `/ui/sql/{database}/…`.

The page talks to the control listener alone. So it works wherever that is reachable (through one forwarded port, for
example) even if `public_db_url` is not, and its policy can forbid every other address. SQL goes on to an edge worker's
Unix socket with the query token that the page sends: nothing here may use the operator token for it, so that this way
opens nothing that the data plane itself does not.

The files need no token, as they hold nothing. What they fetch needs one in a header, which no other site can send or
read: there are no cookies, and no CORS headers.
"""

import hashlib
import mimetypes
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import PurePosixPath

import httpx
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from runtime.control import problems
from runtime.control.services import Services
from runtime.state import ids

PREFIX = "/ui"
SQL_PREFIX = PREFIX + "/sql/"
CONNECT_SECONDS = 5.0
PASSED_TO_DATABASE = ("authorization", "content-type", "content-length", "accept-encoding")
PASSED_TO_BROWSER = ("content-type", "content-encoding", "vary", "retry-after", "www-authenticate")
"""Not the data plane's CORS headers: what is served here is for this origin only."""
SECURITY = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_ENDPOINTS = {"cursor": "v3/cursor", "pipeline": "v3/pipeline"}


def is_open(path: str) -> bool:
    """Whether a path is served without the operator token."""
    return path in ("/", PREFIX) or path.startswith(PREFIX + "/")


class PageFile:
    """One file of the page, held in memory."""

    def __init__(self, name: str, content: bytes) -> None:
        kind = {".js": "text/javascript"}.get(PurePosixPath(name).suffix) or mimetypes.guess_type(name)[0]
        self.content = content
        self.etag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
        self.headers = {
            **SECURITY,
            "content-type": f"{kind}; charset=utf-8",
            # Asked about every time: files of two versions must never meet.
            "cache-control": "no-cache",
            "etag": self.etag,
        }

    def answer(self, request: Request) -> Response:
        """The file, or 304 for who has it."""
        if request.headers.get("if-none-match") == self.etag:
            return Response(status_code=304, headers=self.headers)
        return Response(self.content, headers=self.headers)


def routes(services: Services) -> list[Route]:
    """Everything under `/ui`, and `/`, which leads there."""
    folder = files("runtime.control") / "page"
    served = {entry.name: PageFile(entry.name, entry.read_bytes()) for entry in folder.iterdir() if entry.is_file()}
    served[""] = served["index.html"]
    sql = SqlPassage(services)

    async def file(request: Request) -> Response:
        found = served.get(request.path_params["name"])
        if found is None:
            return problems.response(404, "Not Found", "The page has no such file.")
        return found.answer(request)

    async def to_page(request: Request) -> Response:
        # Relative, so that it holds behind a proxy that adds a prefix.
        return Response(status_code=307, headers={"location": "ui/"})

    return [
        Route("/", to_page),
        Route(PREFIX, to_page),
        Route(SQL_PREFIX + "{database}/{endpoint}", sql.answer, methods=["POST"]),
        Route(PREFIX + "/{name:path}", file),
    ]


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
