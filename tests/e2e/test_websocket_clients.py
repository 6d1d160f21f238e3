"""WebSockets that apps open: to the outside under the address policy, to other apps, and passed on."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.node_server import Node, eventually

CLIENT = """
const once = (socket, type) => new Promise((resolve) => socket.addEventListener(type, resolve, { once: true }));
const text = async (data) => (typeof data === "string" ? data : await data.text());

async function standard(target, protocols) {
  const seen = [];
  const socket = new WebSocket(target, protocols);
  socket.onerror = () => seen.push("error");
  const closed = once(socket, "close");
  seen.push(socket.readyState);
  const first = await Promise.race([once(socket, "open"), closed]);
  seen.push(first.type, socket.protocol);
  if (first.type === "open") {
    for (const message of ["text", new Uint8Array([98, 121]), new Blob(["blob"]), "é".repeat(400_000)]) {
      socket.send(message);
      const answer = await text((await once(socket, "message")).data);
      seen.push(answer.length > 99 ? answer === message : answer);
    }
    socket.close(3000, "bye");
  }
  const { code, reason, wasClean } = await closed;
  return Response.json([...seen, code, reason, wasClean, socket.readyState]);
}

async function fetched(target) {
  const response = await fetch(target, { headers: { Upgrade: "websocket" } });
  const socket = response.webSocket;
  if (socket === null) return Response.json([response.status, await response.text()]);
  socket.accept();
  socket.send("over fetch");
  const { data } = await once(socket, "message");
  socket.close(1000, "done");
  const { code, reason } = await once(socket, "close");
  return Response.json([response.status, data, code, reason]);
}

async function many(target) {
  const sockets = Array.from({ length: 5 }, () => new WebSocket(target));
  const ends = await Promise.all(sockets.map((socket) => Promise.race([once(socket, "open"), once(socket, "error")])));
  return Response.json(ends.map(({ type }) => type).sort());
}

export default {
  async fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    const target = searchParams.get("to");
    if (pathname === "/standard") return standard(target, searchParams.getAll("protocol"));
    if (pathname === "/fetched") return fetched(target);
    if (pathname === "/many") return many(target);
    if (pathname === "/relay") return fetch(new Request(target, request));
    if (request.headers.get("upgrade") !== "websocket") return new Response("not a WebSocket", { status: 418 });
    const [client, server] = Object.values(new WebSocketPair());
    server.accept();
    server.addEventListener("message", ({ data }) => server.send(data));
    return new Response(null, { status: 101, webSocket: client });
  },
};
"""
FEW = '{"version": 1, "main": "w.js", "limits": {"max_websockets": 3, "websocket_message_kb": 64}}'


async def answer(peer: ServerConnection) -> None:
    """Send back what comes, and more than was asked for on request."""
    try:
        async for message in peer:
            await peer.send("x" * 70_000 if message == "large" else message)
    except ConnectionClosed:
        return


@pytest.fixture(scope="module")
def outside() -> Iterator[int]:
    """The port of a WebSocket server that is not of the node."""
    loop = asyncio.new_event_loop()
    ports: list[int] = []
    ready, done = threading.Event(), asyncio.Event()

    async def run() -> None:
        def choose(_: ServerConnection, offered: object) -> str | None:
            return "chosen" if "chosen" in list(offered) else None  # type: ignore[call-overload]

        async with serve(answer, "127.0.0.1", 0, subprotocols=["chosen"], select_subprotocol=choose) as server:  # type: ignore[list-item, arg-type]
            ports.append(server.sockets[0].getsockname()[1])
            ready.set()
            await done.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    assert ready.wait(10)
    yield ports[0]
    loop.call_soon_threadsafe(done.set)
    thread.join()
    loop.close()


@pytest.fixture(scope="module")
def client_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node whose apps may reach 127.0.0.1."""
    options = ("--workers", "1", "--database-workers", "1")
    environment = {"BRRRD_EGRESS_ALLOW": "127.0.0.1/32"}
    with Node(tmp_path_factory.mktemp("client") / "data", *options, env=environment) as node:
        node.deploy({"_worker.js": CLIENT}, "client")
        node.deploy({"w.js": CLIENT, "brrrd.json": FEW}, "few")
        yield node


def test_the_standard_client_speaks_to_the_outside(client_node: Node, outside: int) -> None:
    target = f"ws://127.0.0.1:{outside}/"
    seen = client_node.get("client", f"/standard?to={target}&protocol=other&protocol=chosen").json()
    assert seen == [0, "open", "chosen", "text", "by", "blob", True, 3000, "bye", True, 3]


def test_the_standard_client_speaks_to_another_app(client_node: Node) -> None:
    target = f"ws://client.localhost:{client_node.port}/"
    seen = client_node.get("client", f"/standard?to={target}").json()
    assert seen == [0, "open", "", "text", "by", "blob", True, 3000, "bye", True, 3]


@pytest.mark.parametrize(
    "target", ["ws://10.0.0.1/", "ws://127.0.0.1:1/", "wss://client.localhost:1/", "refused", "protocol"]
)
def test_a_client_that_fails_hears_an_error_and_a_close(client_node: Node, outside: int, target: str) -> None:
    refused = f"ws://client.localhost:{client_node.port}/nothing?to=x"
    targets = {"refused": refused.replace("/nothing", "/fetched"), "protocol": f"ws://127.0.0.1:{outside}/&protocol=x"}
    seen = client_node.get("client", f"/standard?to={targets.get(target, target)}").json()
    assert seen == [0, "error", "close", "", 1006, "", False, 3]
    eventually(10, lambda: "could not be opened" in client_node.logged("client"))


def test_fetch_with_an_upgrade_header(client_node: Node, outside: int) -> None:
    for target in (f"http://127.0.0.1:{outside}/", f"http://client.localhost:{client_node.port}/"):
        assert client_node.get("client", f"/fetched?to={target}").json() == [101, "over fetch", 1000, "done"]


def test_fetch_of_what_is_no_websocket(client_node: Node) -> None:
    target = f"http://client.localhost:{client_node.port}/standard?to=ftp://x"
    assert client_node.get("client", f"/fetched?to={target}").json()[0] == 500


def test_a_websocket_can_be_passed_on(client_node: Node, outside: int) -> None:
    for target in (f"http://127.0.0.1:{outside}/", f"http://client.localhost:{client_node.port}/"):
        connection = socket.create_connection(("127.0.0.1", client_node.port))
        with connect(f"ws://client.localhost/relay?to={target}", sock=connection) as client:
            for message in ("through", b"\xff" * 900_000):
                client.send(message)
                assert client.recv() == message
            client.close(3333, "enough")
            assert client.close_code == 3333


def test_limits_hold_for_clients_too(client_node: Node, outside: int) -> None:
    target = f"ws://127.0.0.1:{outside}/"
    assert client_node.get("few", f"/many?to={target}").json() == ["error", "error", "open", "open", "open"]
    eventually(10, lambda: "max_websockets" in client_node.logged("few"))
