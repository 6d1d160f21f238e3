"""An unmodified build of Nitro for workers: `.output` is deployed as it is, with modules of Node.js and files."""

import hashlib
import re
from pathlib import Path

import httpx
import pytest

from tests.node import npm_build
from tests.node_server import Node, eventually

pytestmark = pytest.mark.timeout(600)
"""The first test installs packages and builds."""


@pytest.fixture(scope="module")
def nitro(node: Node) -> httpx.Client:
    project = Path(__file__).parent / "nitro"
    output = npm_build(project, ".output")
    node.cli("deploy", str(output), "--app", "nitro", "--manifest", str(project / "brrrd.json"))
    node.cli("apps", "env", "set", "GREETING=moin", "--app", "nitro")
    return node.client("nitro.localhost")


def test_routes_parameters_queries_and_middleware(nitro: httpx.Client) -> None:
    answer = nitro.get("/api/hello/ada?tag=a&tag=b", headers={"X-Track": "yes", "Cookie": "last=x"})
    assert answer.json() == {"name": "ada", "query": {"tag": ["a", "b"]}, "last": "x", "tracked": "yes"}
    assert nitro.get("/about").text == "About this book"


def test_route_rules_set_headers_and_redirect(nitro: httpx.Client) -> None:
    headers = nitro.get("/api/hello/ada").headers
    assert (headers["access-control-allow-origin"], headers["x-api"]) == ("*", "yes")
    moved = nitro.get("/old/page")
    assert (moved.status_code, moved.headers["location"]) == (301, "/about")


def test_a_form_is_stored_and_sets_cookies(nitro: httpx.Client) -> None:
    posted = nitro.post("/entries", data={"text": "first & last"})
    assert (posted.status_code, posted.headers["location"]) == (303, "/")
    assert len(posted.headers.get_list("set-cookie")) == 2
    eventually(10, lambda: "first & last" in nitro.get("/").text)


def test_errors_are_answered_by_the_framework(nitro: httpx.Client) -> None:
    refused = nitro.post("/entries", data={"text": ""})
    assert (refused.status_code, refused.json()["data"]) == (422, {"field": "text"})
    broken = nitro.get("/broken")
    assert broken.status_code == 500
    assert "glued" not in broken.text
    assert nitro.get("/nowhere").status_code == 404


def test_a_stream_is_sent_as_it_is_made(nitro: httpx.Client) -> None:
    with nitro.stream("GET", "/stream") as answer:
        assert list(answer.iter_lines()) == ["line 0", "line 1", "line 2"]


def test_modules_of_node_do_their_work(nitro: httpx.Client) -> None:
    told = nitro.get("/api/digest", params={"text": "grüße"}).json()
    assert told["sha256"] == hashlib.sha256("grüße".encode()).hexdigest()
    assert told | {"sha256": ""} == {
        "sha256": "",
        "base64": "Z3LDvMOfZQ==",
        "equal": True,
        "uuid": 36,
        "path": "/b/c.txt",
        "when": "now",
        "parts": "STREAM OF TEXT",
        "text": 'x is 42 {"a":1}',
        "shown": "{ a: [ 1, { b: 2 } ] }",
        "later": 42,
        "platform": "string",
    }


def test_the_context_of_the_platform_reaches_the_handler(node: Node, nitro: httpx.Client) -> None:
    assert nitro.get("/context").json() == {"store": "kept", "greeting": "moin"}
    eventually(10, lambda: "after the answer" in node.logged("nitro"))


def test_static_files_have_the_headers_of_the_build(nitro: httpx.Client) -> None:
    style = re.search(r'href="(/_assets/[^"]+)"', nitro.get("/").text)
    assert style is not None
    answer = nitro.get(style[1])
    assert answer.text == "h1 { color: rebeccapurple }\n"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert nitro.get("/robots.txt").text == "User-agent: *\n"
    assert nitro.get("/_headers").status_code == 404
