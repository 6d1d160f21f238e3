"""A node as client commands see it: calls to its control API.

Each returns the decoded answer or raises a `CommandError`.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from runtime.cli.errors import CommandError, ConnectionBroken, NodeUnreachable, Refused

if TYPE_CHECKING:
    import httpx

DEFAULT_API = "http://127.0.0.1:8081"
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 120.0
"""A deploy answers when every edge worker serves the build, which includes evaluating it."""


def path_of(*segments: str) -> str:
    """Return `/v1/…` with every segment quoted."""
    return "/v1/" + "/".join(quote(segment, safe="") for segment in segments)


class Node:
    """Client of one control API. Use as a context manager; every method raises `CommandError` when it does not work."""

    def __init__(self, api: str | None = None, token: str | None = None) -> None:
        import httpx

        from runtime.cli.tokens import find_token

        self.api = (api or os.environ.get("BRRRD_API") or DEFAULT_API).rstrip("/")
        if urlsplit(self.api).scheme not in ("http", "https") or not urlsplit(self.api).hostname:
            raise CommandError(f"{self.api} is no API address: it looks like {DEFAULT_API}")
        self._token = find_token(self.api, token, _default_data_dir())
        headers = {"user-agent": "brrrd-cli", "accept": "application/json"}
        if actor := _actor():
            headers["brrrd-actor"] = actor
        if self._token.value:
            headers["authorization"] = f"Bearer {self._token.value}"
        # Proxy variables and netrc of the environment must not decide where the operator token goes.
        self._http = httpx.Client(
            base_url=self.api,
            headers=headers,
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            # Certificates take longer to load than everything else here, and plain HTTP needs none.
            verify=urlsplit(self.api).scheme == "https",
            trust_env=False,
        )

    def __enter__(self) -> "Node":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def __repr__(self) -> str:
        return f"<Node {self.api}>"

    def get(self, path: str, **params: str | int) -> dict[str, Any]:
        return self._call("GET", path, params=params)

    def post(self, path: str, body: dict[str, Any] | None = None, *, seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        return self._call("POST", path, json=body or {}, timeout=seconds)

    def put(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._call("PUT", path, json=body)

    def delete(self, path: str) -> dict[str, Any]:
        return self._call("DELETE", path)

    def upload(self, path: str, chunks: Iterable[bytes], params: dict[str, str]) -> dict[str, Any]:
        """POST a package as it is produced; nothing is held whole."""
        headers = {"content-type": "application/zstd"}
        return self._call("POST", path, content=chunks, params=params, headers=headers)

    def download(self, path: str) -> Iterator[bytes]:
        """Yield the body of an answer that is no JSON, as it arrives."""
        import httpx

        try:
            with self._http.stream("GET", path) as response:
                if not response.is_success:
                    response.read()
                    raise self._refusal(response)
                yield from response.iter_bytes()
        except httpx.HTTPError as error:
            raise self._failure(error) from None

    def exists(self, path: str) -> bool:
        """Tell whether GET finds something; raises for any refusal but 404."""
        try:
            self.get(path)
        except Refused as refusal:
            if refusal.status == 404:
                return False
            raise
        return True

    def lines(self, path: str, **params: str | int) -> Iterator[str]:
        """Yield the lines of a newline-delimited answer as they arrive, for as long as the node sends."""
        import httpx

        try:
            # A followed log may be quiet for hours: no read timeout.
            timeout = httpx.Timeout(None, connect=CONNECT_SECONDS)
            with self._http.stream("GET", path, params=params, timeout=timeout) as response:
                if not response.is_success:
                    response.read()
                    raise self._refusal(response)
                for line in response.iter_lines():
                    if line:
                        yield line
        except httpx.HTTPError as error:
            raise self._failure(error) from None

    def _call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        import httpx

        try:
            response = self._http.request(method, path, **arguments)
        except httpx.HTTPError as error:
            raise self._failure(error) from None
        if not response.is_success:
            raise self._refusal(response)
        if not response.content:
            return {}
        answer = _json_object(response)
        if answer is None:
            raise CommandError(f"{self.api} answered with something other than JSON: is that a brrrd control API?")
        return answer

    def _failure(self, error: "httpx.HTTPError") -> CommandError:
        import httpx

        reason = str(error) or type(error).__name__
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
            return NodeUnreachable(self.api, reason)
        return ConnectionBroken(self.api, reason)

    def _refusal(self, response: "httpx.Response") -> Refused:
        problem = _json_object(response) or {}
        if response.status_code == 401:
            return Refused(401, {"detail": self._token_refused()})
        return Refused(response.status_code, problem)

    def _token_refused(self) -> str:
        tried = self._token.tried
        if self._token.value:
            return f"the node at {self.api} has another operator token than {tried[-1]}"
        return (
            f"no operator token was found. Tried: {'; '.join(tried)}.\n"
            "The node keeps it in the file operator-token of its data folder: pass it with --token or "
            "BRRRD_OPERATOR_TOKEN."
        )


def _json_object(response: "httpx.Response") -> dict[str, Any] | None:
    try:
        value = response.json()
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _actor() -> str:
    """Return who uses this command, for the audit log: BRRRD_ACTOR, else the user of this machine."""
    import getpass

    try:
        name = os.environ.get("BRRRD_ACTOR") or getpass.getuser()
    except (KeyError, OSError):
        return ""  # a user without a name, as in some containers
    return name.encode("ascii", "replace").decode()


def _default_data_dir() -> Path | None:
    """Return the data directory of a node started with defaults (or BRRRD_DATA_DIR) in this folder."""
    from runtime.config import ConfigError
    from runtime.config_sources import load

    try:
        return Path(load().data_dir)
    except ConfigError:
        return None
