"""The edge's listener with TLS, under both servers, and the Unix socket beside it that stays without."""

import json
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from websockets.sync.client import connect

from tests.router.certificates import certificates
from tests.router.edge import EdgeProcess, RawClient, app, edge_process, wire_host

VERSIONS = {"uvicorn": "HTTP/1.1", "hypercorn": "HTTP/2"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("tls"))[0]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=VERSIONS)
async def edge(
    request: pytest.FixtureRequest, authority: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[EdgeProcess]:
    pair = str(authority.with_name("server.pem"))
    host = tmp_path_factory.mktemp("host") / "h"
    async with edge_process(server=request.param, tls_cert=pair, tls_key=pair) as edge, wire_host(host):
        await edge.route({"a.localhost": app(host)})
        yield edge


@pytest.fixture
def client(edge: EdgeProcess, authority: Path) -> Iterator[httpx.Client]:
    trust = ssl.create_default_context(cafile=authority)
    base = f"https://127.0.0.1:{edge.port}"
    with httpx.Client(base_url=base, verify=trust, http2=True, trust_env=False, timeout=20) as client:
        yield client


def test_clients_get_the_newest_version_that_the_server_has(
    request: pytest.FixtureRequest, client: httpx.Client
) -> None:
    answer = client.get("/show", headers={"host": "a.localhost"})
    assert (answer.status_code, answer.http_version) == (200, VERSIONS[request.node.callspec.params["edge"]])


def test_apps_see_https(client: httpx.Client) -> None:
    shown = client.get("/show?x=1", headers={"host": "a.localhost"}).json()
    assert shown["url"] == "https://a.localhost/show?x=1"
    assert ["x-forwarded-proto", "https"] in shown["headers"]


def test_the_data_plane_sees_https(client: httpx.Client) -> None:
    assert client.get("/v1/x", headers={"host": "db.localhost"}).json()["scheme"] == "https"


def test_bodies_pass_whole_in_both_directions(client: httpx.Client) -> None:
    host = {"host": "a.localhost"}
    assert client.post("/show", headers=host, content=b"x" * 1_000_000).json()["body"] == "x" * 1_000_000
    assert len(client.get("/stream?bytes=3000000", headers=host).content) == 3_000_000


def test_an_answer_before_the_end_of_the_body_leaves_the_connection_usable(client: httpx.Client) -> None:
    host = {"host": "a.localhost"}
    for _ in range(3):
        assert client.post("/early", headers=host, content=b"x" * 1_000_000).status_code == 401
    assert client.get("/hello", headers=host).text == "hello world"


def test_requests_of_one_client_run_at_the_same_time(client: httpx.Client) -> None:
    host = {"host": "a.localhost"}
    with client.stream("GET", "/pieces", headers=host) as slow:
        pieces = slow.iter_raw()
        assert b"data: 0" in next(pieces)
        assert client.get("/hello", headers=host).status_code == 200
        assert b"data: 2" in b"".join(pieces)


def test_plain_http_is_not_answered_there(edge: EdgeProcess) -> None:
    with edge.connect() as plain:
        plain.send(b"GET /show HTTP/1.1\r\nHost: a.localhost\r\n\r\n")
        assert b"200" not in plain.rest()


def test_the_unix_socket_is_plain_and_says_what_the_app_asked_for(edge: EdgeProcess) -> None:
    for said, scheme in (("", "http"), ("X-Forwarded-Proto: https\r\nX-Request-Id: req-from-app\r\n", "https")):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(edge.unix_path)
        with RawClient(sock) as client:
            client.send(f"GET /show HTTP/1.1\r\nHost: a.localhost\r\n{said}\r\n".encode())
            shown = json.loads(client.response()[2])
            assert shown["url"] == f"{scheme}://a.localhost/show"
            assert ["x-forwarded-for", "127.0.0.1"] in shown["headers"]
            assert (["x-request-id", "req-from-app"] in shown["headers"]) == bool(said)


def test_websockets_of_apps(edge: EdgeProcess, authority: Path) -> None:
    trust = ssl.create_default_context(cafile=authority)
    connection = socket.create_connection(("127.0.0.1", edge.port), timeout=20)
    with connect("wss://a.localhost/socket", sock=connection, ssl=trust, server_hostname="127.0.0.1") as client:
        for message in ("text", b"\xff" * 300_000):
            client.send(message)
            assert client.recv() == message
