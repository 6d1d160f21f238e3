"""An unmodified build of React Router for workers: `build` is deployed as it is."""

import html
import json
import re
from pathlib import Path

import httpx
import pytest

from tests.node import npm_build
from tests.node_server import Node, eventually

pytestmark = pytest.mark.timeout(600)
"""The first test installs packages and builds."""

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture(scope="module")
def notes(node: Node) -> httpx.Client:
    project = Path(__file__).parent / "react-router"
    output = npm_build(project, "build")
    node.cli("deploy", str(output), "--app", "react-router", "--manifest", str(project / "brrrd.json"))
    node.cli("apps", "env", "set", "GREETING=Moin", "--app", "react-router")
    return node.client("react-router.localhost")


def test_a_page_is_rendered_with_what_its_loader_found(notes: httpx.Client) -> None:
    page = notes.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<h1>Moin, stranger</h1>" in page.text
    assert "<title>Notes</title>" in page.text
    assert '<a href="/notes/1"' in page.text


def test_a_form_adds_a_note_and_leads_to_it(node: Node, notes: httpx.Client) -> None:
    posted = notes.post("/?index", data={"text": "Read <this>"})
    assert posted.status_code == 302
    path = posted.headers["location"]
    assert re.fullmatch(r"/notes/\d+", path)
    eventually(10, lambda: html.escape("Read <this>") in notes.get(path).text)
    eventually(10, lambda: "added" in node.logged("react-router"))


def test_a_form_that_is_refused_is_shown_again(notes: httpx.Client) -> None:
    refused = notes.post("/?index", data={"text": " "})
    assert refused.status_code == 400
    assert '<p role="alert">A note needs a text</p>' in refused.text


def test_a_session_is_kept_in_a_signed_cookie(notes: httpx.Client) -> None:
    answer = notes.post("/login", data={"user": "Ada"})
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    session = cookie.partition(";")[0]
    assert "Moin, Ada" in notes.get("/", headers={"Cookie": session}).text
    assert "Moin, stranger" in notes.get("/", headers={"Cookie": session[:-4] + "AAAA"}).text
    notes.cookies.clear()


def test_what_a_loader_promises_is_streamed(notes: httpx.Client) -> None:
    page = notes.get("/slow", headers={"User-Agent": BROWSER}).text
    assert page.index("at once") < page.index("waiting") < page.index("after a while")
    assert "<p>after a while</p>" not in page[: page.index("waiting")]
    robot = notes.get("/slow", headers={"User-Agent": "Googlebot/2.1"})
    assert "<p>after a while</p>" in robot.text


def test_headers_redirects_and_json(notes: httpx.Client) -> None:
    assert notes.get("/notes/2").headers["cache-control"] == "private, max-age=5"
    moved = notes.get("/old")
    assert (moved.status_code, moved.headers["location"]) == (301, "/notes/1")
    assert notes.get("/api/notes").json()[0] == {"id": "1", "text": "Buy milk"}


def test_errors_have_the_page_of_the_app(notes: httpx.Client) -> None:
    missing = notes.get("/notes/99")
    assert (missing.status_code, "<h1>404: no such note</h1>" in missing.text) == (404, True)
    broken = notes.get("/broken")
    assert broken.status_code == 500
    assert "<h1>Something broke</h1>" in broken.text
    assert "the secret reason" not in broken.text
    assert notes.get("/nowhere").status_code == 404


def test_data_of_a_route_is_fetched_by_the_router_in_the_browser(notes: httpx.Client) -> None:
    answer = notes.get("/notes/1.data")
    assert answer.headers["content-type"].startswith("text/x-script")
    assert "Buy milk" in json.dumps(answer.text)


def test_scripts_and_styles_are_static_files(notes: httpx.Client) -> None:
    page = notes.get("/").text
    files = set(re.findall(r'"(/assets/[^"]+\.(?:js|css))"', page))
    assert len(files) > 3
    for file in files:
        answer = notes.get(file)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(("text/javascript", "text/css"))
        assert "etag" in answer.headers
