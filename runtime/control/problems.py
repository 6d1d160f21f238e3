"""Refusals as RFC 9457 problem details. Internals never appear in one: an unexpected error is a plain 500."""

import errno
import http
import logging
import sqlite3

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from artifacts.errors import PackageError
from runtime.state.errors import Conflict, NotFound

log = logging.getLogger("brrrd.control")


class Problem(Exception):
    """A refusal with its status and a sentence that says what to do."""

    def __init__(self, status: int, detail: str, title: str = "", **extra: str | int) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title or http.HTTPStatus(status).phrase
        self.detail = detail
        self.extra = extra


def response(status: int, title: str, detail: str, extra: dict[str, str | int] | None = None) -> Response:
    """One problem as `application/problem+json`."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **(extra or {})}
    headers = {"www-authenticate": 'Bearer realm="brrrd"'} if status == 401 else {}
    return Response(msgspec.json.encode(body), status, headers, media_type="application/problem+json")


def from_error(error: Exception) -> Response:
    """The answer for an error of the rooms below; anything unknown is logged and becomes a 500."""
    if isinstance(error, Problem):
        return response(error.status, error.title, error.detail, error.extra)
    if isinstance(error, PackageError):
        return response(error.status, error.title, error.detail)
    if isinstance(error, NotFound):
        return response(404, "Not Found", str(error))
    if isinstance(error, Conflict):
        return response(409, "Conflict", str(error))
    if _disk_is_full(error):
        log.error("the disk is full: %s", error)
        return response(507, "No space left", "The disk of the node has no space left, and nothing was changed.")
    log.error("unexpected error", exc_info=error)
    return response(500, "Internal Server Error", "The node could not do this; its log says why.")


def _disk_is_full(error: Exception) -> bool:
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL  # none if not the engine's own
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """404 and 405 of the router."""
    assert isinstance(error, HTTPException)
    detail = {
        404: f"There is nothing at {request.url.path}; /openapi.json lists what there is.",
        405: f"{request.method} is not possible at {request.url.path}.",
    }.get(error.status_code, error.detail)
    answer = response(error.status_code, http.HTTPStatus(error.status_code).phrase, detail)
    answer.headers.update(error.headers or {})
    return answer
