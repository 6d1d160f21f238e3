"""An unmodified Hono bundle."""

import socket
from collections.abc import Callable

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.node_server import Node, eventually


@pytest.fixture(scope="module")
def hono(node: Node, build: Callable[..., dict[str, str | bytes]]) -> httpx.Client:
    node.deploy(build("hono/index.js"), "hono")
    return node.client("hono.localhost")


def test_routes_parameters_and_queries(hono: httpx.Client) -> None:
    assert hono.get("/").text == "Hello Hono!"
    assert hono.get("/api/users/42?tag=a&tag=b%20c").json() == {"id": 42, "tags": ["a", "b c"]}
    assert (hono.get("/api/users/x").status_code, hono.get("/nowhere").text) == (404, "no such page")


def test_json_in_and_out(hono: httpx.Client) -> None:
    answer = hono.post("/api/echo", json={"text": "grüße 🎉", "list": [1, 2.5, None]})
    assert (answer.status_code, answer.json()) == (201, {"text": "grüße 🎉", "list": [1, 2.5, None]})


def test_a_validator_refuses(hono: httpx.Client) -> None:
    assert hono.post("/validated", json={"n": 21}).json() == {"doubled": 42}
    assert hono.post("/validated", json={"n": "21"}).status_code == 400
    assert hono.post("/validated", content="{", headers={"Content-Type": "application/json"}).status_code == 400


def test_a_multipart_form_with_a_file(hono: httpx.Client) -> None:
    answer = hono.post("/form", data={"name": "Ada"}, files={"file": ("notes ü.txt", "file text", "text/plain")})
    assert answer.json() == {"name": "Ada", "file": "notes ü.txt", "type": "text/plain", "text": "file text"}


def test_cookies_are_set_one_header_each(hono: httpx.Client) -> None:
    first = hono.get("/cookie", headers={"Cookie": "visits=4"})
    assert first.text == "4"
    assert first.headers.get_list("set-cookie") == ["visits=5; Path=/; HttpOnly", "theme=dark; Path=/"]


def test_cors_etag_html_and_redirects(hono: httpx.Client) -> None:
    preflight = hono.options(
        "/api/echo", headers={"Origin": "https://example.com", "Access-Control-Request-Method": "POST"}
    )
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "https://example.com"
    etag = hono.get("/cached").headers["etag"]
    assert hono.get("/cached", headers={"If-None-Match": etag}).status_code == 304
    assert "&lt;escaped&gt;" in hono.get("/page").text
    redirect = hono.get("/redirect")
    assert (redirect.status_code, redirect.headers["location"]) == (302, "/")


def test_streamed_text_and_events(hono: httpx.Client) -> None:
    assert hono.get("/stream").text == "line 0\nline 1\nline 2\n"
    events = hono.get("/events")
    assert events.headers["content-type"].startswith("text/event-stream")
    assert events.text == "event: greeting\ndata: hello\nid: 1\n\ndata: done\n\n"


def test_http_exceptions_and_wait_until(hono: httpx.Client) -> None:
    assert (hono.get("/teapot").status_code, hono.get("/teapot").text) == (418, "short and stout")
    assert hono.get("/later").status_code == 204


def test_bindings_come_from_the_environment(node: Node, hono: httpx.Client) -> None:
    assert hono.get("/env").text == "unset"
    node.cli("apps", "env", "set", "GREETING=moin", "--app", "hono")
    assert hono.get("/env").text == "moin"


def test_a_websocket_by_upgrade_websocket(node: Node, hono: httpx.Client) -> None:
    assert hono.get("/socket/Ada").status_code == 404
    connection = socket.create_connection(("127.0.0.1", node.port))
    with connect("ws://hono.localhost/socket/Ada", sock=connection) as client:
        client.send("hello")
        assert client.recv() == "Ada heard hello"
        client.send("bye")
        assert client.recv() == "Ada heard bye"
        with pytest.raises(ConnectionClosed):
            client.recv()
        assert (client.close_code, client.close_reason) == (4001, "as you wish")
    eventually(10, lambda: "socket closed" in node.logged("hono"))
