"""A database as the shell, imports and dumps use it: a client of the libSQL remote protocol (Hrana 3 over HTTP).

Calls go to the data plane like any other client's, so the same commands work with a database of another server. Every
method raises a `CommandError`.
"""

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from runtime.cli.errors import CommandError

if TYPE_CHECKING:
    import httpx

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 120.0
STREAM_GONE = ("STREAM_EXPIRED", "BATON_INVALID")
"""Codes of a stream that is no more: it was idle for too long, or the token was rotated since."""
_PROBE = {"condition": {"type": "is_autocommit"}, "stmt": {"sql": "SELECT 1", "want_rows": False}}

Value = int | float | str | bytes | None


class SqlFailed(CommandError):
    """A statement failed; `code` and `extended_code` as the server gave them."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(str(error.get("message") or "the statement failed"))
        self.code = str(error.get("code") or "")
        self.extended_code = str(error.get("extended_code") or self.code)


class DatabaseRefused(CommandError):
    """The database answered with a status other than 200."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class ConnectionLost(CommandError):
    """No answer, or only a part of it. Whether the statement took effect is not known."""


class Summary(NamedTuple):
    """What is known after the last row."""

    changed: int
    milliseconds: float | None
    """As the server measured it."""


def to_wire(value: Value) -> dict[str, Any]:
    """Return an argument as the protocol's value. Raises `CommandError` for an infinity, which JSON cannot carry."""
    if value is None:
        return {"type": "null"}
    if isinstance(value, int):
        return {"type": "integer", "value": str(value)}
    if isinstance(value, float):
        return {"type": "float", "value": value}
    if isinstance(value, str):
        return {"type": "text", "value": value}
    return {"type": "blob", "base64": base64.b64encode(value).decode("ascii")}


def from_wire(value: dict[str, Any]) -> Value:
    """Return a value of a result."""
    kind = value["type"]
    if kind == "integer":
        return int(value["value"])
    if kind == "float":
        return float(value["value"])
    if kind == "text":
        return str(value["value"])
    if kind == "blob":
        text = value["base64"].rstrip("=")
        return base64.b64decode(text + "=" * (-len(text) % 4))
    return None


class Remote:
    """One database. `token(renew)` returns a token, with True another one than before. A context manager."""

    def __init__(self, url: str, token: Callable[[bool], str | None]) -> None:
        import httpx

        if url.startswith("libsql://"):
            url = "https://" + url.removeprefix("libsql://")
        if not url.startswith(("http://", "https://")):
            raise CommandError(f"{url} is no database URL: it looks like http://127.0.0.1:8080/v1/db-…")
        self.url = url.rstrip("/")
        self._token = token
        self._http = httpx.Client(
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            verify=url.startswith("https"),
            trust_env=False,
        )

    def __enter__(self) -> "Remote":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def __repr__(self) -> str:
        return f"<Remote {self.url}>"

    def pipeline(self, *requests: dict[str, Any]) -> list[dict[str, Any]]:
        """Run requests on a stream of their own; return their responses. Raises `SqlFailed` for the first that failed.

        What an earlier request left open is rolled back when one fails.
        """
        import msgspec

        body = msgspec.json.encode({"baton": None, "requests": [*requests, {"type": "close"}]})
        with self._stream("POST", "/v3/pipeline", body) as response:
            answer = json.loads(response.read())
        responses = []
        for result in answer["results"]:
            if result["type"] != "ok":
                raise SqlFailed(result["error"])
            responses.append(result["response"])
        return responses

    def rows(self, sql: str, *values: Value) -> list[list[Value]]:
        """Run one statement; return its rows, all at once."""
        stmt = {"sql": sql, "args": [to_wire(value) for value in values]}
        result = self.pipeline({"type": "execute", "stmt": stmt})[0]["result"]
        return [[from_wire(value) for value in row] for row in result["rows"]]

    @contextmanager
    def lines(self, body: dict[str, Any]) -> Iterator[Iterator[dict[str, Any]]]:
        """POST to the cursor endpoint; the entries of the answer as they arrive."""
        with self._stream("POST", "/v3/cursor", json.dumps(body).encode()) as response:
            yield _decoded_lines(self._guarded(response.iter_bytes()))

    @contextmanager
    def dump(self, *, rowids: bool) -> Iterator[Iterator[bytes]]:
        """The database as SQL text, in pieces as they arrive."""
        query = "?preserve_row_ids=true" if rowids else ""
        with self._stream("GET", f"/dump{query}", None) as response:
            yield self._guarded(response.iter_bytes())

    def _guarded(self, pieces: Iterator[Any]) -> Iterator[Any]:
        import httpx

        try:
            yield from pieces
        except httpx.HTTPError as error:
            raise self._lost(error) from None

    @contextmanager
    def _stream(self, method: str, path: str, body: bytes | None) -> Iterator["httpx.Response"]:
        response = self._send(method, path, body, renew=False)
        if response.status_code == 401:
            response.close()
            response = self._send(method, path, body, renew=True)
        try:
            if response.status_code != 200:
                raise self._refusal(response)
            yield response
        finally:
            response.close()

    def _send(self, method: str, path: str, body: bytes | None, *, renew: bool) -> "httpx.Response":
        import httpx

        headers = {"content-type": "application/json", "user-agent": "brrrd-cli"}
        if token := self._token(renew):
            headers["authorization"] = f"Bearer {token}"
        request = self._http.build_request(method, self.url + path, content=body, headers=headers)
        try:
            return self._http.send(request, stream=True)
        except httpx.HTTPError as error:
            raise self._lost(error) from None

    def _lost(self, error: Exception) -> ConnectionLost:
        return ConnectionLost(f"the connection to {self.url} broke ({str(error) or type(error).__name__})")

    def _refusal(self, response: "httpx.Response") -> DatabaseRefused:
        import httpx

        try:
            body = response.read()
            problem = json.loads(body)
        except (httpx.HTTPError, ValueError):
            problem = {}
        if not isinstance(problem, dict):
            problem = {}
        status = response.status_code
        said = problem.get("message") or problem.get("error") or f"{self.url} answered with status {status}"
        return DatabaseRefused(status, str(problem.get("code") or ""), str(said))


def _decoded_lines(pieces: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    """Decode one JSON object a line. Faster by half than to let the HTTP client find the lines."""
    import msgspec

    # Infinity comes as 1e999, which the decoder's own floats refuse.
    decode = msgspec.json.Decoder(dict[str, Any], float_hook=float).decode
    rest = b""
    try:
        for piece in pieces:
            lines = (rest + piece).split(b"\n")
            rest = lines.pop()
            for line in lines:
                if line:
                    yield decode(line)
        if rest:
            yield decode(rest)
    except msgspec.DecodeError as error:
        raise ConnectionLost(f"the answer cannot be read ({error})") from None


class Session:
    """Statements one after the other on one stream: transactions, temporary tables and settings last between them."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote
        self.in_transaction = False
        self._baton: str | None = None

    def __repr__(self) -> str:
        return f"<Session of {self.remote.url} {'in a transaction' if self.in_transaction else 'idle'}>"

    @contextmanager
    def run(self, sql: str) -> Iterator["Result"]:
        """Run one statement; its rows arrive while they are read. Left before the last row, the statement is ended."""
        # A stream may have expired since: nothing was lost unless a transaction was open on it.
        fresh = self._baton is None
        with self._open(sql, retry=not fresh and not self.in_transaction) as entries:
            result = Result(entries)
            try:
                result.start()
                yield result
            finally:
                # Refused as a whole, the batch has not come to where it tells.
                self.in_transaction = result.finished and not result.autocommit and not result.refused
                if not result.finished:
                    self._baton = None

    @contextmanager
    def _open(self, sql: str, *, retry: bool) -> Iterator[Iterator[dict[str, Any]]]:
        baton, self._baton = self._baton, None
        steps = [{"stmt": {"sql": sql}}, _PROBE]
        context = self.remote.lines({"baton": baton, "batch": {"steps": steps}})
        try:
            entries = context.__enter__()
        except DatabaseRefused as refusal:
            if refusal.code not in STREAM_GONE or not retry:
                if self.in_transaction:
                    self.in_transaction = False
                    raise CommandError(f"{refusal}. The open transaction was rolled back.") from None
                raise
            context = self.remote.lines({"baton": None, "batch": {"steps": steps}})
            entries = context.__enter__()
        except BaseException:
            # Ended before an answer came, by Ctrl-C for example: without a baton there is no way back to the stream.
            self.in_transaction = False
            raise
        try:
            self._baton = next(entries)["baton"]
            yield entries
        finally:
            context.__exit__(None, None, None)


class Result:
    """Columns, then rows, then the summary of one statement. Raises `SqlFailed`, `ConnectionLost`."""

    def __init__(self, entries: Iterator[dict[str, Any]]) -> None:
        self._entries = entries
        self._failure: SqlFailed | None = None
        self.finished = False
        self.refused = False
        """No statement was run, as of a database that is suspended."""
        self.autocommit = False
        self.columns: Sequence[str] = []
        self.summary = Summary(0, None)

    def start(self) -> None:
        """Wait for the columns."""
        for entry in self._entries:
            if entry["type"] == "step_begin" and entry["step"] == 0:
                self.columns = [column.get("name") or "" for column in entry["cols"]]
                return
            self._take(entry)
            if self._failure is not None:
                break
        self._end()

    def rows(self) -> Iterator[list[Value]]:
        """The rows as they arrive; may be read once."""
        if self.finished:
            return
        for entry in self._entries:
            if entry["type"] == "row":
                yield [from_wire(value) for value in entry["row"]]
                continue
            self._take(entry)
            if entry["type"] in ("step_end", "step_error", "error"):
                break
        self._end()

    def _end(self) -> None:
        """Read what follows the last row: whether a transaction is open now."""
        for entry in self._entries:
            self._take(entry)
        self.finished = True
        if self._failure is not None:
            raise self._failure

    def _take(self, entry: dict[str, Any]) -> None:
        kind = entry["type"]
        if kind == "step_end" and entry.get("step", 0) == 0 and not self.autocommit:
            self.summary = Summary(int(entry.get("affected_row_count") or 0), entry.get("query_duration_ms"))
        elif kind == "step_begin" and entry["step"] == 1:
            self.autocommit = True
        elif kind == "step_error" or kind == "error":
            self._failure = self._failure or SqlFailed(entry["error"])
            self.refused = self.refused or kind == "error"
