"""An unmodified build of Astro for workers: `dist` is deployed as it is."""

import re
from pathlib import Path

import httpx
import pytest

from tests.node import npm_build
from tests.node_server import Node, eventually

pytestmark = pytest.mark.timeout(600)
"""The first test installs packages and builds."""


@pytest.fixture(scope="module")
def notes(node: Node) -> httpx.Client:
    project = Path(__file__).parent / "astro"
    output = npm_build(project, "dist")
    node.cli("deploy", str(output), "--app", "astro", "--manifest", str(project / "brrrd.json"))
    node.cli("apps", "env", "set", "CURRENCY=CHF", "--app", "astro")
    return node.client("astro.localhost")


def test_a_page_is_streamed_with_what_its_components_wait_for(notes: httpx.Client) -> None:
    page = notes.get("/")
    assert page.headers["x-notes"] == "yes"
    assert page.text.index("Notes of nobody") < page.text.index("after a while") < page.text.index("</html>")


def test_a_form_sets_cookies_and_redirects(notes: httpx.Client) -> None:
    done = notes.post("/", data={"user": "Ada"}, headers={"Origin": "http://astro.localhost"})
    assert (done.status_code, done.headers["location"]) == (303, "/")
    assert len(done.headers.get_list("set-cookie")) == 2
    assert "Notes of Ada" in notes.get("/", headers={"Cookie": "user=Ada"}).text
    notes.cookies.clear()


def test_a_form_of_another_site_is_refused(notes: httpx.Client) -> None:
    assert notes.post("/", data={"user": "x"}, headers={"Origin": "http://evil.example"}).status_code == 403


def test_parameters_and_error_pages(notes: httpx.Client) -> None:
    assert "<h1>Buy milk</h1>" in notes.get("/notes/milk").text
    assert notes.get("/notes/bread").status_code == 404
    missing = notes.get("/no/where")
    assert (missing.status_code, "Nothing at /no/where" in missing.text) == (404, True)
    broken = notes.get("/notes/broken")
    assert (broken.status_code, "<h1>Something broke</h1>" in broken.text) == (500, True)


def test_endpoints_and_work_after_the_answer(node: Node, notes: httpx.Client) -> None:
    assert notes.get("/api").json() == {"path": "/api", "currency": "CHF"}
    answer = notes.post("/api", json={"a": [1]})
    assert (answer.status_code, answer.json()) == (201, {"got": {"a": [1]}})
    eventually(10, lambda: "after the answer" in node.logged("astro"))


def test_prerendered_pages_redirects_and_static_files(notes: httpx.Client) -> None:
    assert "<h1>About notes</h1>" in notes.get("/about/").text
    moved = notes.get("/old")
    assert (moved.status_code, moved.headers["location"]) == (301, "/about")
    assert notes.get("/robots.txt").text == "User-agent: *\n"
    assert notes.get("/.assetsignore").status_code == 404
    for file in set(re.findall(r'"(/_astro/[^"]+)"', notes.get("/").text)):
        assert notes.get(file).headers["cache-control"] == "public, max-age=31536000, immutable"
