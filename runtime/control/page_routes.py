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
from importlib.resources import files
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runtime.control import problems
from runtime.control.services import Services

if TYPE_CHECKING:
    from runtime.control.sql_passage import SqlPassage

PREFIX = "/ui"
SQL_PREFIX = PREFIX + "/sql/"
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
    passage: SqlPassage | None = None

    async def file(request: Request) -> Response:
        found = served.get(request.path_params["name"])
        if found is None:
            return problems.response(404, "Not Found", "The page has no such file.")
        return found.answer(request)

    async def sql(request: Request) -> Response:
        nonlocal passage
        if passage is None:
            # Not before somebody uses the page: its HTTP client is a fifth of what a node would load at its start.
            from runtime.control.sql_passage import SqlPassage

            passage = SqlPassage(services)
        return await passage.answer(request)

    async def to_page(request: Request) -> Response:
        # Relative, so that it holds behind a proxy that adds a prefix.
        return Response(status_code=307, headers={"location": "ui/"})

    return [
        Route("/", to_page),
        Route(PREFIX, to_page),
        Route(SQL_PREFIX + "{database}/{endpoint}", sql, methods=["POST"]),
        Route(PREFIX + "/{name:path}", file),
    ]
