"""Routing, hosts and their loss, deadlines and static files, over real worker and host processes."""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from artifacts.index import AssetIndex
from artifacts.manifest import resolve
from artifacts.unpack import UnpackedFile
from router.dispatch import HOST_WAIT_SECONDS
from router.messages import App, HostGone
from tests.router.edge import EdgeProcess, app, edge_process, wire_host

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["uvicorn", "hypercorn"])
async def edge(request: pytest.FixtureRequest) -> AsyncIterator[EdgeProcess]:
    async with edge_process(server=request.param) as edge:
        yield edge


@pytest_asyncio.fixture(loop_scope="module")
async def client(edge: EdgeProcess) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose every request is for the host `a.localhost`, without keep-alive over tests."""
    base = f"http://127.0.0.1:{edge.port}"
    async with httpx.AsyncClient(base_url=base, headers={"host": "a.localhost"}, timeout=10) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def hosts(tmp_path: Path) -> AsyncIterator[AsyncExitStack]:
    """Hosts that a test starts end with it."""
    async with AsyncExitStack() as stack:
        yield stack


def pid_of(answer: httpx.Response) -> int:
    return int(answer.json()["pid"])


async def test_a_request_reaches_its_app_and_the_answer_its_client(
    edge: EdgeProcess, client: httpx.AsyncClient, hosts: AsyncExitStack, tmp_path: Path
) -> None:
    await hosts.enter_async_context(wire_host(tmp_path / "h"))
    await edge.route({"a.localhost": app(tmp_path / "h")})
    answer = await client.post("/show?x=%20y", content=b"body", headers=[("x-a", "1"), ("x-a", "2")])
    seen = answer.json()
    assert (seen["method"], seen["url"], seen["body"]) == ("POST", "http://a.localhost/show?x=%20y", "body")
    assert [value for name, value in seen["headers"] if name == "x-a"] == ["1", "2"]
    assert ["x-forwarded-for", "127.0.0.1"] in seen["headers"]
    assert ["x-request-id", seen["request_id"]] in seen["headers"]
    assert answer.headers["x-request-id"] == seen["request_id"]


async def test_bodies_stream_both_ways(
    edge: EdgeProcess, client: httpx.AsyncClient, hosts: AsyncExitStack, tmp_path: Path
) -> None:
    await hosts.enter_async_context(wire_host(tmp_path / "h"))
    await edge.route({"a.localhost": app(tmp_path / "h")})

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(40):
            yield b"%d" % (number % 10) * 50_000

    answer = await client.post("/show", content=pieces())
    assert len(answer.json()["body"]) == 2_000_000
    assert len((await client.get("/stream?bytes=2000000")).content) == 2_000_000
    async with client.stream("GET", "/pieces") as stream:
        arrived = [piece async for piece in stream.aiter_raw() if piece]
    assert len(arrived) == 3


async def test_a_flood_of_small_frames_is_passed_on_in_order_and_others_get_their_turn(
    edge: EdgeProcess, client: httpx.AsyncClient, hosts: AsyncExitStack, tmp_path: Path
) -> None:
    for name in ("h", "other"):
        await hosts.enter_async_context(wire_host(tmp_path / name))
    await edge.route(
        {"a.localhost": app(tmp_path / "h"), "b.localhost": app(tmp_path / "other", app_id="app-2", host_id="host-2")}
    )

    async def flood() -> bytes:
        """Read what comes as it is: to take chunks apart would keep this loop from counting."""
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(b"GET /crumbs?tens=10000 HTTP/1.0\r\nHost: a.localhost\r\n\r\n")
        body = (await reader.read()).partition(b"\r\n\r\n")[2]
        writer.close()
        return body

    floods = [asyncio.create_task(flood()) for _ in range(2)]
    answered = 0
    while not all(flooded.done() for flooded in floods):
        answered += (await client.get("/hello", headers={"host": "b.localhost"}, timeout=60)).status_code == 200
    # Without turns it would be one for each piece that is read of the flood, of thousands of frames.
    assert answered > 20
    for flooded in floods:
        assert flooded.result() == b"0123456789" * 10_000


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/refuse?status=503&code=overloaded&detail=busy", 503, "overloaded"),
        ("/refuse?status=500&code=exception&detail=secret", 500, "exception"),
        ("/raw-head", 502, None),
        ("/status?status=101", 502, None),
        ("/status?status=700", 502, None),
    ],
)
async def test_what_the_host_cannot_answer_becomes_a_problem(
    edge: EdgeProcess,
    client: httpx.AsyncClient,
    hosts: AsyncExitStack,
    tmp_path: Path,
    path: str,
    status: int,
    code: str | None,
) -> None:
    await hosts.enter_async_context(wire_host(tmp_path / "h"))
    await edge.route({"a.localhost": app(tmp_path / "h")})
    answer = await client.get(path)
    problem = answer.json()
    assert (answer.status_code, problem.get("code")) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert "secret" not in answer.text
    assert ("retry-after" in answer.headers) == (status == 503)
    page = await client.get(path, headers={"accept": "text/html"})
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["x-request-id"] in page.text


async def test_a_lost_host_costs_its_own_requests_a_503_and_the_next_one_serves(
    edge: EdgeProcess, client: httpx.AsyncClient, hosts: AsyncExitStack, tmp_path: Path
) -> None:
    await hosts.enter_async_context(wire_host(tmp_path / "1"))
    await hosts.enter_async_context(wire_host(tmp_path / "2"))
    other = app(tmp_path / "2", app_id="app-2", host_id="host-2")
    await edge.route({"a.localhost": app(tmp_path / "1", host_id="doomed"), "b.localhost": other})
    held = asyncio.create_task(client.post("/hold", content=b"x"))
    neighbour = asyncio.create_task(client.get("/pieces", headers={"host": "b.localhost"}))
    async with asyncio.timeout(10):
        while (await client.get("/held")).text != "1":
            pass
    assert (await client.get("/die")).status_code == 503
    answer = await held
    assert (answer.status_code, answer.json()["code"]) == (503, "host_gone")
    assert answer.headers["retry-after"] == "1"
    assert (await neighbour).status_code == 200
    assert (await edge.expect(HostGone)).host_id == "doomed"
    waiting = asyncio.create_task(client.get("/show"))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await edge.route({"a.localhost": app(tmp_path / "2", host_id="host-3")})
    assert (await waiting).status_code == 200


async def test_a_response_under_way_is_cut_when_its_host_is_lost(
    edge: EdgeProcess, client: httpx.AsyncClient, hosts: AsyncExitStack, tmp_path: Path
) -> None:
    await hosts.enter_async_context(wire_host(tmp_path / "h"))
    await edge.route({"a.localhost": app(tmp_path / "h")})
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get("/stream?bytes=1000&end=die")


async def test_a_host_that_breaks_the_format_is_dropped(
    edge: EdgeProcess, client: httpx.AsyncClient, hosts: AsyncExitStack, tmp_path: Path
) -> None:
    await hosts.enter_async_context(wire_host(tmp_path / "h"))
    await edge.route({"a.localhost": app(tmp_path / "h", host_id="broken")})
    assert (await client.get("/garbage")).status_code == 503
    while (await edge.expect(HostGone)).host_id != "broken":
        pass
    # The process lives and the table names it, so that it is tried again.
    assert (await client.get("/show")).status_code == 200


async def test_a_request_over_its_deadline_gets_504_and_is_cancelled(
    edge: EdgeProcess, client: httpx.AsyncClient, hosts: AsyncExitStack, tmp_path: Path
) -> None:
    await hosts.enter_async_context(wire_host(tmp_path / "h"))
    await edge.route({"a.localhost": app(tmp_path / "h", wall_ms=200)})
    began = time.monotonic()
    answer = await client.get("/hold")
    assert (answer.status_code, answer.json()["code"]) == (504, "deadline")
    assert time.monotonic() - began >= 0.2
    assert "/hold deadline" in (await client.get("/cancelled")).json()


async def test_a_response_stream_over_its_deadline_is_cut(
    edge: EdgeProcess, client: httpx.AsyncClient, hosts: AsyncExitStack, tmp_path: Path
) -> None:
    await hosts.enter_async_context(wire_host(tmp_path / "h"))
    await edge.route({"a.localhost": app(tmp_path / "h", wall_ms=200)})
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get("/stream?bytes=1000&end=never")


async def test_a_new_build_takes_over_while_the_old_one_finishes(
    edge: EdgeProcess, client: httpx.AsyncClient, hosts: AsyncExitStack, tmp_path: Path
) -> None:
    old = await hosts.enter_async_context(wire_host(tmp_path / "old"))
    new = await hosts.enter_async_context(wire_host(tmp_path / "new"))
    await edge.route({"a.localhost": app(tmp_path / "old", host_id="old")})
    async with client.stream("GET", "/pieces") as pieces, client.stream("GET", "/goaway") as slow:
        await edge.route({"a.localhost": app(tmp_path / "new", host_id="new", build_id="build-2")})
        assert pid_of(await client.get("/show")) == new.pid
        assert (await pieces.aread()).count(b"data:") == 3
        assert int(await slow.aread()) == old.pid


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (app(None, unavailable="The app was stopped after 5 crashes in a minute."), "unavailable"),
        (app("/nonexistent/socket"), "starting"),
    ],
)
async def test_an_app_without_a_host_is_a_503(
    edge: EdgeProcess, client: httpx.AsyncClient, entry: App, code: str
) -> None:
    await edge.route({"a.localhost": entry})
    answer = await client.get("/", timeout=HOST_WAIT_SECONDS + 20)
    assert (answer.status_code, answer.json()["code"]) == (503, code)
    assert int(answer.headers["retry-after"]) > 0


async def test_names_that_lead_nowhere(edge: EdgeProcess, client: httpx.AsyncClient) -> None:
    await edge.route({"*.apps.example": app(None, unavailable="resting")})
    expected = {"x.apps.example": 503, "X.Apps.Example.:8080": 503, "apps.example": 404, "a.x.apps.example": 404}
    for host, status in expected.items():
        assert (await client.get("/", headers={"host": host})).status_code == status, host


def static_build(root: Path, **manifest: Any) -> App:
    """Write a package of static files and return its routing entry."""
    (root / "public").mkdir()
    (root / "public" / "index.html").write_text("<h1>home</h1>")
    (root / "public" / "data.bin").write_bytes(bytes(range(256)) * 2000)
    (root / "brrrd.json").write_text(json.dumps({"version": 1, "assets": {"directory": "public"}} | manifest))
    files = {
        str(path.relative_to(root)): UnpackedFile(path.stat().st_size, hashlib.sha256(path.read_bytes()).digest())
        for path in root.rglob("*")
        if path.is_file()
    }
    AssetIndex.build(resolve(root), files).save(root / "index")
    return app(None, directory=str(root), asset_index=str(root / "index"), has_worker=False)


async def test_static_files_are_served_with_ranges_and_validators(
    edge: EdgeProcess, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    await edge.route({"a.localhost": static_build(tmp_path)})
    home = await client.get("/")
    assert (home.text, home.headers["content-type"]) == ("<h1>home</h1>", "text/html; charset=utf-8")
    assert (await client.get("/", headers={"if-none-match": home.headers["etag"]})).status_code == 304
    content = (tmp_path / "public" / "data.bin").read_bytes()
    assert (await client.get("/data.bin")).content == content
    part = await client.get("/data.bin", headers={"range": "bytes=100-300000"})
    assert (part.status_code, part.content) == (206, content[100:300_001])
    assert (await client.get("/data.bin", headers={"range": "bytes=-5"})).content == content[-5:]
    assert (await client.get("/", headers={"range": "bytes=4-7"})).text == "home"
    assert (await client.head("/data.bin")).headers["content-length"] == str(len(content))
    assert (await client.get("/missing")).status_code == 404
    assert (await client.post("/")).status_code == 405


async def test_a_damaged_index_costs_only_its_app(
    edge: EdgeProcess, client: httpx.AsyncClient, hosts: AsyncExitStack, tmp_path: Path
) -> None:
    await hosts.enter_async_context(wire_host(tmp_path / "h"))
    (tmp_path / "index").write_bytes(b"torn")
    damaged = app(None, app_id="app-2", asset_index=str(tmp_path / "index"), has_worker=False)
    await edge.route({"a.localhost": app(tmp_path / "h"), "b.localhost": damaged})
    assert (await client.get("/hello")).status_code == 200
    answer = await client.get("/", headers={"host": "b.localhost"})
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


async def test_an_app_answers_where_no_file_does(
    edge: EdgeProcess, client: httpx.AsyncClient, hosts: AsyncExitStack, tmp_path: Path
) -> None:
    await hosts.enter_async_context(wire_host(tmp_path / "h"))
    entry = static_build(tmp_path)
    both = app(tmp_path / "h", directory=entry.directory, asset_index=entry.asset_index)
    await edge.route({"a.localhost": both})
    assert (await client.get("/index.html")).text == "<h1>home</h1>"
    assert (await client.get("/hello")).text == "hello world"
    assert (await client.post("/index.html")).json()["method"] == "POST"


async def test_a_trusted_proxy_names_client_scheme_and_request(hosts: AsyncExitStack, tmp_path: Path) -> None:
    await hosts.enter_async_context(wire_host(tmp_path / "h"))
    edge = await hosts.enter_async_context(edge_process(trusted_proxies=["127.0.0.0/8"]))
    await edge.route({"a.localhost": app(tmp_path / "h")})
    brought = {"x-forwarded-for": "192.0.2.1", "x-forwarded-proto": "https", "x-request-id": "mine"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{edge.port}") as client:
        answer = await client.get("/show", headers={"host": "a.localhost", **brought})
    seen = answer.json()
    assert (seen["url"], seen["request_id"]) == ("https://a.localhost/show", "mine")
    assert ["x-forwarded-for", "192.0.2.1, 127.0.0.1"] in seen["headers"]
    assert answer.headers["x-request-id"] == "mine"


async def test_an_international_name_reaches_the_app_as_a_label(hosts: AsyncExitStack, tmp_path: Path) -> None:
    await hosts.enter_async_context(wire_host(tmp_path / "h"))
    edge = await hosts.enter_async_context(edge_process())
    await edge.route({"xn--bcher-kva.localhost": app(tmp_path / "h")})
    with edge.connect() as client:
        client.send("GET /show HTTP/1.1\r\nHost: b\u00fccher.localhost:80\r\n\r\n".encode())
        answer = await asyncio.to_thread(client.response)
    assert json.loads(answer[2])["url"] == "http://xn--bcher-kva.localhost:80/show"
