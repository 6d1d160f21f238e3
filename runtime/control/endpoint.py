"""The table of what the control API offers: one `Endpoint` per operation, read by the router and by `openapi.py`.

A handler gets a `Call` and returns a `msgspec.Struct`, which is sent as JSON with the endpoint's status, or an
`Answered` with another one, or a Response.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from runtime.control import audit, problems
from runtime.control.problems import Problem

MAX_BODY_BYTES = 1 << 20
Services = TypeVar("Services")


class Parameter(NamedTuple):
    """One query parameter, for the description."""

    name: str
    description: str


class Call(Generic[Services]):
    """One request to one endpoint. `body` is the decoded request body, for endpoints that have one."""

    def __init__(self, services: Services, request: Request, body: Any) -> None:
        self.services = services
        self.body = body
        self._request = request

    def path(self, name: str) -> str:
        """A part of the path."""
        return str(self._request.path_params[name])

    def query(self, name: str) -> str:
        """A query parameter; empty if it is not given."""
        return self._request.query_params.get(name, "").strip()

    def number(self, name: str, default: int | None, least: int, most: int) -> int | None:
        """A whole number from the query. Raises `Problem` 400."""
        text = self.query(name)
        if not text:
            return default
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise Problem(400, f"{name} must be a whole number from {least} to {most}, not {text[:40]!r}.")
        return int(text)

    def flag(self, name: str) -> bool:
        """A yes or no from the query. Raises `Problem` 400."""
        text = self.query(name).lower()
        if text in ("", "0", "false", "no"):
            return False
        if text in ("1", "true", "yes"):
            return True
        raise Problem(400, f"{name} must be true or false, not {text[:40]!r}.")

    def chunks(self) -> AsyncIterator[bytes]:
        """The raw request body as it arrives."""
        return self._request.stream()


class Answered(NamedTuple):
    """An answer with another status than the endpoint's own."""

    status: int
    body: Any


class Endpoint(NamedTuple):
    """One operation."""

    method: str
    path: str
    handler: Callable[[Call[Any]], Awaitable[Any]]
    summary: str
    answer: Any = None
    body: type[msgspec.Struct] | None = None
    status: int = 200
    query: tuple[Parameter, ...] = ()
    upload: bool = False
    """The request body is a package."""
    media_type: str = "application/json"


def starlette_endpoint(endpoint: Endpoint, services: Any) -> Callable[[Request], Awaitable[Response]]:
    """The function that Starlette calls for an endpoint."""

    async def respond(request: Request) -> Response:
        audit.called_by(request)
        try:
            body = None if endpoint.body is None else _decode(await _read(request), endpoint.body)
            answer = await endpoint.handler(Call(services, request, body))
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        except Exception as error:  # the room's door
            return problems.from_error(error)
        if isinstance(answer, Response):
            return answer
        status, data = answer if isinstance(answer, Answered) else (endpoint.status, answer)
        return Response(msgspec.json.encode(data), status, media_type=endpoint.media_type)

    return respond


async def _read(request: Request) -> bytes:
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > MAX_BODY_BYTES:
            raise Problem(413, f"The request body may have at most {MAX_BODY_BYTES} bytes.")
    return bytes(received)


def _decode(data: bytes, kind: type[msgspec.Struct]) -> msgspec.Struct:
    try:
        return msgspec.json.decode(data or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise Problem(400, f"The request body does not fit: {error}.") from None
    except msgspec.DecodeError as error:
        raise Problem(400, f"The request body is not JSON: {error}.") from None
