"""What the edge itself answers when no app does: HTML for a person, RFC 9457 problem details for a program.

Both carry the request id, which is in the logs too. Neither says anything about the node's insides.
"""

import html
import http
import json
import re
from typing import NamedTuple

_QUALITY = re.compile(rb"q=([01](?:\.[0-9]{0,3})?)")

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{status} {title}</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }}
body {{ display: grid; min-height: 100vh; margin: 0; place-content: center; padding: 0 1.5rem; }}
main {{ max-width: 34rem; }}
h1 {{ font-size: 1.5rem; margin: 0 0 .5rem; }}
p {{ margin: 0 0 1rem; }}
small, code {{ opacity: .7; }}
</style>
</head>
<body>
<main>
<h1>{status} {title}</h1>
<p>{detail}</p>
<small>Request id <code>{request_id}</code></small>
</main>
</body>
</html>
"""

DETAILS = {
    400: "The request could not be understood.",
    404: "There is nothing at this address.",
    405: "This method is not supported here.",
    408: "The request did not arrive in time.",
    413: "The request body is too large.",
    431: "The request's header fields are too large.",
    500: "The app failed to answer this request. Its log has the details under the request id.",
    501: "This method is not supported here.",
    502: "The app sent a response that cannot be passed on.",
    503: "The app cannot answer at the moment. Please try again shortly.",
    504: "The app took too long to answer.",
    505: "This version of HTTP is not supported.",
}


class ErrorAnswer(NamedTuple):
    """A complete answer; `fields` include Content-Type and Content-Length."""

    status: int
    fields: list[tuple[bytes, bytes]]
    body: bytes


class EdgeError(Exception):
    """The edge answers this request itself, with an error.

    `detail` is a sentence for the client, by default the one for `status`; `code` names the cause for programs;
    `retry_after` is in seconds.
    """

    def __init__(self, status: int, detail: str = "", *, code: str = "", retry_after: int | None = None) -> None:
        super().__init__(detail or DETAILS.get(status, ""))
        self.status = status
        self.detail = str(self)
        self.code = code
        self.retry_after = retry_after

    def answer(self, accept: bytes, request_id: bytes) -> ErrorAnswer:
        """Return what to send to a client with this Accept header (empty without one)."""
        title = http.HTTPStatus(self.status).phrase if self.status in _KNOWN else "Error"
        identity = request_id.decode("latin-1")
        if prefers_html(accept):
            kind = b"text/html; charset=utf-8"
            body = _PAGE.format(
                status=self.status, title=title, detail=html.escape(self.detail), request_id=html.escape(identity)
            ).encode()
        else:
            kind = b"application/problem+json"
            problem = {"type": "about:blank", "title": title, "status": self.status, "detail": self.detail}
            if self.code:
                problem["code"] = self.code
            body = json.dumps(problem | {"request_id": identity}).encode()
        fields = [
            (b"content-type", kind),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
            (b"x-request-id", request_id),
        ]
        if self.retry_after is not None:
            fields.append((b"retry-after", b"%d" % self.retry_after))
        if self.status == 426:
            fields.append((b"sec-websocket-version", b"13"))
        if self.status == 405:
            fields.append((b"allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"))
        return ErrorAnswer(self.status, fields, body)


_KNOWN = frozenset(status.value for status in http.HTTPStatus)


def prefers_html(accept: bytes) -> bool:
    """Whether an Accept header (RFC 9110 §12.5.1) names text/html, and nothing of JSON with more weight.

    A bare `*/*`, as programs send it, does not.
    """
    if b"text/html" not in accept:
        return False
    best_html = best_json = 0.0
    for part in accept.lower().split(b","):
        kind, _, parameters = part.strip().partition(b";")
        found = _QUALITY.search(parameters)
        weight = float(found[1]) if found else 1.0
        kind = kind.strip()
        if kind in (b"text/html", b"application/xhtml+xml"):
            best_html = max(best_html, weight)
        elif kind in (b"application/json", b"application/problem+json"):
            best_json = max(best_json, weight)
    return best_html > 0 and best_html >= best_json
