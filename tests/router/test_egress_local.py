"""Requests of apps to the node's own names, which go to an edge worker's Unix socket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from router.messages import LocalNames
from tests.router.egress_peer import Egress, Host, egress
from tests.router.scripted_server import HELLO, Handler, Server, answering, serving


@contextlib.asynccontextmanager
async def inside(
    tmp_path: Path, response: bytes | Callable[[Server], Handler] = HELLO
) -> AsyncIterator[tuple[Server, Host, Egress]]:
    """An edge worker's Unix socket, and a host connected to an egress process that knows it."""
    path = str(tmp_path / "edge.sock")
    handler = answering(response) if isinstance(response, bytes) else response
    async with (
        serving(handler, path=path) as server,
        egress(edge_sockets=[path], edge_authorities=["127.0.0.1:8080", "localhost:8080"], db_hosts=()) as running,
    ):
        yield server, await running.host(), running


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8080/v1/db-x/v2/pipeline", "http://localhost:8080/", "https://localhost:8080/"],
)
async def test_own_names_are_reached_without_leaving_the_node(url: str, tmp_path: Path) -> None:
    async with inside(tmp_path) as (server, host, _):
        forwarded = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-proto", "gopher"), ("forwarded", "for=6.6.6.6")]
        fields = [("authorization", "Bearer t"), ("accept-encoding", "gzip"), *forwarded]
        answer = await host.fetch("POST", url, fields, b'{"requests":[]}')
    assert answer.body == b"hello"
    head = server.heads[0]
    assert f"host: {url.split('/')[2]}\r\n" in head
    assert "authorization: Bearer t" in head
    assert "content-length: 15" in head
    assert "6.6.6.6" not in head
    assert "gopher" not in head
    assert "accept-encoding" not in head
    assert ("x-forwarded-proto: https" in head) == url.startswith("https")


async def test_apps_names_are_reached_once_they_are_pushed(tmp_path: Path) -> None:
    async with inside(tmp_path) as (_, host, running):
        url = "http://shop.internal.invalid/"
        assert (await host.fetch("GET", url)).code == "dns"
        running.channel.send(LocalNames(["shop.internal.invalid", "*.apps.invalid"]))
        async with asyncio.timeout(10):
            # The list and the request come by different sockets.
            while (await host.fetch("GET", url)).body != b"hello":
                pass
        assert (await host.fetch("GET", "https://a.apps.invalid/")).body == b"hello"


async def test_answer_to_a_small_request_is_one_frame(tmp_path: Path) -> None:
    async with inside(tmp_path) as (_, host, _):
        answer = await host.fetch("POST", "http://localhost:8080/v1/x", data=b"x")
    assert len(answer.frames) == 1


async def test_own_connections_are_shared_and_kept(tmp_path: Path) -> None:
    async with inside(tmp_path) as (server, host, running):
        for _ in range(5):
            await host.fetch("POST", "http://localhost:8080/v1/x", data=b"x")
            await (await running.host()).fetch("GET", "http://127.0.0.1:8080/v1/x")
    assert server.connections == 1


async def test_other_edge_worker_answers_when_one_is_away(tmp_path: Path) -> None:
    path = str(tmp_path / "edge.sock")
    async with (
        serving(answering(HELLO), path=path) as server,
        egress(
            edge_sockets=[str(tmp_path / "gone.sock"), path], edge_authorities=["127.0.0.1:8080"], db_hosts=()
        ) as running,
    ):
        host = await running.host()
        assert (await host.fetch("GET", "http://127.0.0.1:8080/")).body == b"hello"
    assert server.connections == 1


async def test_edge_that_is_away_is_said_to_be(tmp_path: Path) -> None:
    async with egress(
        edge_sockets=[str(tmp_path / "gone")], edge_authorities=["127.0.0.1:8080"], db_hosts=()
    ) as running:
        answer = await (await running.host()).fetch("GET", "http://127.0.0.1:8080/")
    assert (answer.code, answer.detail) == ("connect", "this node's edge cannot be reached at the moment")
