"""WebSockets of apps through the whole chain, with clients that others wrote."""

import json
import socket
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.node import NODE, npm_project, run_command
from tests.node_server import Node, eventually

WS_CLIENT = """
import WebSocket from "ws";
const [port, app] = process.argv.slice(2);
const socket = new WebSocket(`ws://127.0.0.1:${port}/`, { headers: { host: `${app}.localhost` } });
const once = (type) => new Promise((resolve) => socket.once(type, (...all) => resolve(all)));
await once("open");
const out = [socket.extensions];
for (const message of ["text", Buffer.alloc(100_000, 7), "é".repeat(5000)]) {
  socket.send(message);
  const [data, isBinary] = await once("message");
  out.push(isBinary ? data.equals(message) : data.toString() === message);
}
socket.ping("there?");
out.push((await once("pong"))[0].toString());
socket.close(4002, "done");
const [code, reason] = await once("close");
out.push(code, reason.toString());
console.log(JSON.stringify(out));
"""

APP = """
const log = [];
export default {
  async fetch(request, env, ctx) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/log") return Response.json(log);
    if (request.headers.get("upgrade") !== "websocket") return new Response("no WebSocket", { status: 426 });
    if (pathname === "/refuse") return new Response("who are you?", { status: 401 });
    if (pathname === "/throw") throw new Error("no");
    if (pathname === "/body") return new Response(null, { status: 101, webSocket: {} });
    const [client, server] = Object.values(new WebSocketPair());
    const headers = new Headers({ "x-app": "yes" });
    const offered = request.headers.get("sec-websocket-protocol");
    if (offered) headers.set("sec-websocket-protocol", searchParams.get("protocol") ?? offered.split(", ").pop());
    server.accept();
    if (pathname === "/greet") server.send("welcome");
    if (pathname === "/close") server.close(4000, "not today");
    server.addEventListener("message", ({ data }) => {
      if (typeof data === "string" && data.startsWith("close ")) server.close(Number(data.slice(6)), "asked");
      else if (data === "state") server.send(JSON.stringify([server.readyState, server.bufferedAmount]));
      else if (data === "flood") for (let i = 0; i < 200; i++) server.send("x".repeat(1 << 20));
      else if (data === "throw") throw new Error("in a listener");
      else server.send(data);
    });
    server.addEventListener("close", ({ code, reason, wasClean }) => log.push([pathname, code, reason, wasClean]));
    server.onerror = () => log.push([pathname, "error"]);
    return new Response(null, { status: 101, webSocket: client, headers });
  },
};
"""


@pytest.fixture(scope="module")
def app(node: Node) -> str:
    node.deploy({"_worker.js": APP}, "sockets")
    return "sockets"


def open_socket(node: Node, app: str, path: str = "/", **options: Any) -> ClientConnection:
    """A WebSocket to an app, from the `websockets` package."""
    options.setdefault("max_size", None)
    connection = socket.create_connection(("127.0.0.1", node.port))
    opened: ClientConnection = connect(f"ws://{app}.localhost:{node.port}{path}", sock=connection, **options)
    return opened


def answers(node: Node, app: str) -> bool:
    """Whether the app opens a WebSocket now."""
    try:
        with open_socket(node, app):
            return True
    except InvalidStatus:
        return False


def metrics(node: Node) -> str:
    return httpx.get(f"{node.control_url}/metrics", trust_env=False).text


def logged(node: Node, app: str, path: str) -> list[Any]:
    """What the app saw of the end of WebSockets at `path`."""
    return [line[1:] for line in node.get(app, "/log").json() if line[0] == path]


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_messages_of_every_size_and_kind_come_back(node: Node, app: str, compression: str | None) -> None:
    with open_socket(node, app, compression=compression) as client:
        assert bool(client.protocol.extensions) is (compression is not None)
        for size in (0, 1, 125, 126, 4096, 65535, 65536, 300_000, 1 << 20):
            for message in (b"\xff" * size, "é" * (size // 2)):
                client.send(message)
                assert client.recv() == message
        client.send(iter(["in ", "three ", "pieces"]))
        assert client.recv() == "in three pieces"
        assert client.ping().wait(10)


def test_many_messages_keep_their_order(node: Node, app: str) -> None:
    with open_socket(node, app) as client:
        sent = [f"{number} {'x' * (number % 700)}" for number in range(2000)]
        for message in sent:
            client.send(message)
        assert [client.recv() for _ in sent] == sent
    counted = 'brrrd_websocket_messages_total{app="sockets",direction="out",project="default"} '
    eventually(10, lambda: float(metrics(node).partition(counted)[2].split("\n")[0] or 0) >= 2000, every=0.2)


def test_what_is_sent_before_the_answer_arrives_first(node: Node, app: str) -> None:
    with open_socket(node, app, "/greet") as client:
        assert client.recv() == "welcome"
        client.send("state")
        assert client.recv() == "[1,0]"


def test_the_subprotocol_and_headers_of_the_answer(node: Node, app: str) -> None:
    with open_socket(node, app, subprotocols=["chat.v1", "chat.v2"]) as client:
        assert client.subprotocol == "chat.v2"
        assert client.response is not None
        assert client.response.headers["x-app"] == "yes"
        assert client.response.headers["x-request-id"]
    with pytest.raises(InvalidStatus, match="502"):
        open_socket(node, app, "/?protocol=other", subprotocols=["chat.v1"])


def test_either_side_closes_with_a_code(node: Node, app: str) -> None:
    with open_socket(node, app, "/close") as client:
        with pytest.raises(ConnectionClosed):
            client.recv()
        assert (client.close_code, client.close_reason) == (4000, "not today")
    eventually(10, lambda: logged(node, app, "/close") == [[4000, "not today", True]])
    with open_socket(node, app, "/mine") as client:
        client.close(3999, "enough")
    eventually(10, lambda: logged(node, app, "/mine") == [[3999, "enough", True]])
    with open_socket(node, app, "/asked") as client:
        client.send("close 1011")
        with pytest.raises(ConnectionClosed):
            client.recv()
        assert client.close_code == 1011


def test_the_usual_client_of_node_js(node: Node, app: str, tmp_path: Path) -> None:
    project = npm_project("ws", {"ws": "8.18.3"})
    (tmp_path / "client.mjs").write_text(WS_CLIENT)
    (tmp_path / "node_modules").symlink_to(project / "node_modules")
    said = run_command([str(NODE), "client.mjs", str(node.port), app], cwd=tmp_path)
    assert json.loads(said) == ["permessage-deflate", True, True, True, "there?", 4002, "done"]


def test_a_client_that_vanishes_is_an_error(node: Node, app: str) -> None:
    with open_socket(node, app, "/vanish") as client:
        client.socket.shutdown(socket.SHUT_RDWR)
        eventually(10, lambda: logged(node, app, "/vanish") == [["error"], [1006, "", False]])


@pytest.mark.parametrize(("path", "status"), [("/refuse", 401), ("/throw", 500), ("/body", 500)])
def test_other_answers_go_through(node: Node, app: str, path: str, status: int) -> None:
    with pytest.raises(InvalidStatus) as caught:
        open_socket(node, app, path)
    assert caught.value.response.status_code == status
    if status == 401:
        assert caught.value.response.body == b"who are you?"


def test_a_message_over_the_limit_closes_with_1009(node: Node, app: str) -> None:
    for message in ("x" * ((1 << 20) + 1), iter(["x" * (1 << 20), "y"])):
        with open_socket(node, app) as client:
            with pytest.raises(ConnectionClosed):
                client.send(message)
                client.recv()
            assert client.close_code == 1009
    eventually(10, lambda: "limit websocket_message_kb" in node.logged(app), every=0.2)


def test_a_listener_that_throws_is_logged_with_the_request(node: Node, app: str) -> None:
    with open_socket(node, app) as client:
        assert client.response is not None
        request_id = client.response.headers["x-request-id"]
        client.send("throw")
        client.send("still here")
        assert client.recv() == "still here"
    eventually(10, lambda: request_id in node.cli("logs", "--app", app, "--json").stdout)


def test_an_app_that_sends_faster_than_its_client_reads(node: Node, app: str) -> None:
    with open_socket(node, app) as client:
        client.send("flood")
        read = 0
        with pytest.raises(ConnectionClosed):
            for _ in range(200):
                read += len(client.recv())
        assert client.close_code == 1013
    assert read < 20 << 20
    eventually(10, lambda: "websocket_buffer" in node.logged(app))


def test_no_more_than_max_websockets(node: Node) -> None:
    manifest = '{"version": 1, "main": "w.js", "limits": {"max_websockets": 2, "max_concurrent_requests": 1}}'
    node.deploy({"w.js": APP, "brrrd.json": manifest}, "few")
    with open_socket(node, "few"), open_socket(node, "few") as second:
        with pytest.raises(InvalidStatus) as caught:
            open_socket(node, "few")
        assert caught.value.response.status_code == 503
        assert b"max_websockets" in caught.value.response.body
        assert node.get("few", "/log").status_code == 200
        second.close()
        eventually(10, lambda: answers(node, "few"))

    counted = 'brrrd_host_limits_total{app="few",limit="max_websockets",project="default"}'
    eventually(10, lambda: counted in metrics(node), every=0.2)


def test_isolates_of_an_app_count_their_websockets_together(node: Node) -> None:
    manifest = '{"version": 1, "main": "w.js", "limits": {"max_websockets": 2, "max_isolates": 2}}'
    blocking = 'if (pathname === "/block") for (const until = Date.now() + 3000; Date.now() < until;);'
    node.deploy({"w.js": APP.replace("if (pathname", blocking + "if (pathname", 1), "brrrd.json": manifest}, "both")
    thread = threading.Thread(target=node.get, args=("both", "/block"))
    thread.start()
    eventually(10, lambda: node.get("both", "/log").status_code == 200)
    thread.join()
    # One in each isolate: the edge prefers the one with fewer.
    with open_socket(node, "both"), open_socket(node, "both"):
        eventually(10, lambda: not answers(node, "both"), every=0.2)
        with pytest.raises(InvalidStatus) as caught:
            open_socket(node, "both")
        assert b"max_websockets" in caught.value.response.body
    eventually(10, lambda: answers(node, "both"), every=0.2)
    isolates = 'brrrd_host_isolates{app="both",project="default"} 2.0'
    assert isolates in metrics(node), "there was one isolate only, and nothing to count together"


def test_a_deploy_lets_old_websockets_live_and_cuts_them_off_after_the_drain(start_node: Any) -> None:
    node = start_node("--workers", "1", "--database-workers", "1", env={"BRRRD_DRAIN_SECONDS": "4"})
    node.deploy({"_worker.js": APP}, "old")
    with open_socket(node, "old") as client:
        node.deploy({"_worker.js": APP.replace("data);", "`new ${data}`);")}, "old")
        client.send("still")
        assert client.recv() == "still"
        with open_socket(node, "old") as other:
            other.send("code")
            assert other.recv() == "new code"
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=20)
        assert client.close_code == 1012
    with open_socket(node, "old") as client:
        node.stop()
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=20)
        assert client.close_code == 1001


def test_websockets_behind_hypercorn(start_node: Any) -> None:
    """Where the server in front speaks the protocol, all is the same but for the client's close code: it keeps that."""
    node = start_node("--workers", "1", "--database-workers", "1", "--server", "hypercorn")
    node.deploy({"_worker.js": APP}, "other")
    with open_socket(node, "other", subprotocols=["chat.v1"]) as client:
        assert client.subprotocol == "chat.v1"
        assert client.response is not None
        assert client.response.headers["x-app"] == "yes"
        for message in ("text", b"\xff" * 300_000, "", "é" * 400_000):
            client.send(message)
            assert client.recv() == message
        client.close(3999, "enough")
    eventually(10, lambda: logged(node, "other", "/") == [["error"], [1006, "", False]])
    with open_socket(node, "other", "/close") as client:
        with pytest.raises(ConnectionClosed):
            client.recv()
        assert (client.close_code, client.close_reason) == (4000, "not today")
    with open_socket(node, "other") as client:
        client.send("x" * ((1 << 20) + 1))
        with pytest.raises(ConnectionClosed):
            client.recv()
        assert client.close_code == 1009
    for path, status in (("/refuse", 401), ("/throw", 500)):
        with pytest.raises(InvalidStatus) as caught:
            open_socket(node, "other", path)
        assert caught.value.response.status_code == status
    with pytest.raises(InvalidStatus) as caught:
        open_socket(node, "nobody")
    assert caught.value.response.status_code == 404
