import json

import pytest

from router.errors import EdgeError, prefers_html

CHROME = b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        (CHROME, True),
        (b"text/html", True),
        (b"", False),
        (b"*/*", False),
        (b"application/json", False),
        (b"application/json, text/html;q=0.5", False),
        (b"text/html;q=0", False),
        (b"text/html, application/json", True),
    ],
)
def test_a_browser_gets_a_page_and_a_program_gets_a_problem(accept: bytes, html: bool) -> None:
    assert prefers_html(accept) is html


def test_a_page_shows_the_request_id_and_escapes_what_it_shows() -> None:
    answer = EdgeError(503, "<b>resting</b>").answer(CHROME, b"id-<1>")
    assert dict(answer.fields)[b"content-type"] == b"text/html; charset=utf-8"
    assert b"id-&lt;1&gt;" in answer.body
    assert b"<b>resting" not in answer.body


def test_a_problem_names_status_code_and_request_id() -> None:
    answer = EdgeError(503, code="overloaded", retry_after=1).answer(b"*/*", b"id-1")
    assert dict(answer.fields)[b"retry-after"] == b"1"
    assert dict(answer.fields)[b"content-type"] == b"application/problem+json"
    assert json.loads(answer.body) == {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "The app cannot answer at the moment. Please try again shortly.",
        "code": "overloaded",
        "request_id": "id-1",
    }
