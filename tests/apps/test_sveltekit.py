"""A build of SvelteKit for workers, bundled as its adapter asks for: worker and static files in one folder."""

import re
from pathlib import Path

import httpx
import pytest

from tests.node import npm_build
from tests.node_server import Node, eventually

pytestmark = pytest.mark.timeout(600)
"""The first test installs packages and builds."""


@pytest.fixture(scope="module")
def shop(node: Node) -> httpx.Client:
    output = npm_build(Path(__file__).parent / "sveltekit", ".svelte-kit/cloudflare")
    node.cli("deploy", str(output), "--app", "sveltekit")
    node.cli("apps", "env", "set", "CURRENCY=CHF", "--app", "sveltekit")
    return node.client("sveltekit.localhost")


def test_a_page_is_rendered_with_data_environment_and_hooks(shop: httpx.Client) -> None:
    page = shop.get("/")
    assert page.headers["x-shop"] == "open"
    assert "<title>Shop</title>" in page.text
    assert "Kettle: 9 CHF" in page.text
    assert "Signed in as nobody" in page.text


def test_a_form_action_sets_cookies_and_redirects(node: Node, shop: httpx.Client) -> None:
    origin = {"Origin": "http://sveltekit.localhost", "Accept": "text/html"}
    done = shop.post("/?/login", data={"user": "Ada"}, headers=origin)
    assert (done.status_code, done.headers["location"]) == (303, "/")
    assert len(done.headers.get_list("set-cookie")) == 2
    assert "Signed in as Ada" in shop.get("/", headers={"Cookie": "user=Ada"}).text
    shop.cookies.clear()


def test_a_form_that_is_refused_is_shown_again(shop: httpx.Client) -> None:
    refused = shop.post(
        "/?/login", data={"user": ""}, headers={"Origin": "http://sveltekit.localhost", "Accept": "text/html"}
    )
    assert refused.status_code == 422
    assert '<p role="alert">A name is needed</p>' in refused.text


def test_a_form_of_another_site_is_refused(shop: httpx.Client) -> None:
    assert shop.post("/?/login", data={"user": "x"}, headers={"Origin": "http://evil.example"}).status_code == 403


def test_parameters_headers_and_work_after_the_answer(node: Node, shop: httpx.Client) -> None:
    page = shop.get("/product/kettle")
    assert "<h1>Kettle</h1>" in page.text
    assert page.headers["cache-control"] == "private, max-age=5"
    eventually(10, lambda: "kettle was looked at" in node.logged("sveltekit"))


def test_errors_have_the_page_of_the_app(shop: httpx.Client) -> None:
    missing = shop.get("/product/spoon")
    assert (missing.status_code, "<h1>404: No such product</h1>" in missing.text) == (404, True)
    broken = shop.get("/product/teapot")
    assert (broken.status_code, "<h1>500: Something broke</h1>" in broken.text) == (500, True)
    assert "the secret reason" not in broken.text


def test_promised_data_is_streamed(shop: httpx.Client) -> None:
    page = shop.get("/slow").text
    assert page.index("at once") < page.index("waiting") < page.index("after a while")


def test_an_endpoint_takes_json(shop: httpx.Client) -> None:
    answer = shop.post("/api/price?rounded", json={"count": 2})
    assert (answer.status_code, answer.json()) == (201, {"total": 900, "rounded": True})


def test_prerendered_pages_and_redirects_come_from_the_edge(shop: httpx.Client) -> None:
    assert "<h1>About the shop</h1>" in shop.get("/about").text
    for path, status, location in (("/old", 301, "/about"), ("/help", 301, "/about"), ("/shop/x", 302, "/product/x")):
        moved = shop.get(path)
        assert (moved.status_code, moved.headers["location"]) == (status, location)


def test_a_file_is_read_through_the_assets_binding(shop: httpx.Client) -> None:
    assert shop.get("/file").text == "Goods are sent within two days.\n"


def test_static_files_have_the_headers_of_the_build(shop: httpx.Client) -> None:
    files = set(re.findall(r"/_app/immutable/[\w./-]+\.js", shop.get("/").text))
    assert files
    for file in files:
        answer = shop.get(file)
        assert answer.headers["cache-control"] == "public, immutable, max-age=31536000"
        assert answer.headers["x-robots-tag"] == "noindex"
    assert shop.get("/robots.txt").headers["x-robots-tag"] == "all"
    for path in ("/_worker.js", "/_worker.js.map", "/_headers", "/_redirects", "/_routes.json"):
        assert shop.get(path).status_code == 404
