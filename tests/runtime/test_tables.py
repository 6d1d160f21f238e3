"""The tables that edge workers and egress get, and knowing who holds which."""

import asyncio

from isolates.messages import Limits
from runtime.supervisor.applied import Applied
from runtime.supervisor.placement import DatabasePlacement, Desired, Placement
from runtime.supervisor.routes import Serving, catalog, edge_authorities, local_names, routes, worker_of


def placement(app_id: str, main: str | None = "_worker.js") -> Placement:
    return Placement(
        app_id=app_id,
        project="default",
        app=app_id,
        build_id=f"bld-{app_id}",
        directory=f"/packages/{app_id}",
        main=main,
        node=False,
        asset_index=None,
        environment={},
        limits=Limits(wall_ms=1234),
    )


def test_an_app_without_a_host_is_in_the_table_without_a_socket() -> None:
    table = routes(7, Desired({"a": placement("a")}, {"a.localhost": "a"}), {}, 99)
    assert (table.version, table.hosts) == (7, {"a.localhost": "a"})
    app = table.apps["a"]
    assert (app.upstreams, app.has_worker, app.wall_ms, app.max_body_bytes) == ([], True, 1234, 99)


def test_a_quarantined_app_says_why() -> None:
    table = routes(1, Desired({"a": placement("a")}), {"a": Serving(unavailable="It keeps dying.")}, 0)
    assert table.apps["a"].unavailable == "It keeps dying."


def test_a_static_app_needs_no_host() -> None:
    assert routes(1, Desired({"a": placement("a", main=None)}), {}, 0).apps["a"].has_worker is False


def test_hosts_of_an_app_without_a_build_are_unknown_everywhere() -> None:
    desired = Desired({"a": placement("a")}, {"a.localhost": "a", "b.localhost": "b", "*.a.example": "a"})
    assert routes(1, desired, {}, 0).hosts == {"a.localhost": "a", "*.a.example": "a"}
    assert local_names(desired).names == ["*.a.example", "a.localhost"]


def test_a_database_stays_with_its_worker() -> None:
    names = [f"db-{number}" for number in range(100)]
    assert [worker_of(name, 4) for name in names] == [worker_of(name, 4) for name in names]
    assert {worker_of(name, 4) for name in names} == {0, 1, 2, 3}
    table = catalog(3, {"db-1": DatabasePlacement("db-1", b"h", 2, "suspended")}, ["/a", "/b"])
    assert table.databases["db-1"].worker_socket == ["/a", "/b"][worker_of("db-1", 2)]
    assert table.databases["db-1"].blocked == "suspended"


def test_every_spelling_of_the_edge_is_known_to_egress() -> None:
    names = edge_authorities(8080, "127.0.0.1", ["db.localhost", "localhost"], "https://db.example.com")
    assert {"127.0.0.1:8080", "localhost:8080", "[::1]:8080", "db.localhost:8080", "db.example.com:443"} == set(names)
    assert "0.0.0.0:80" not in edge_authorities(80, "0.0.0.0", [], "http://db.example.com:99")


async def test_a_push_is_over_when_every_worker_that_is_up_holds_it() -> None:
    applied = Applied()
    applied.up("edge-0")
    applied.up("edge-1")
    applied.up("egress", ["catalog"])
    waiting = asyncio.ensure_future(applied.wait("routes", 2, 5))
    applied.applied("edge-0", "routes", 2)
    await asyncio.sleep(0)
    assert not waiting.done()
    applied.applied("edge-1", "routes", 3)
    assert await waiting == []


async def test_a_worker_that_died_is_not_waited_for() -> None:
    applied = Applied()
    applied.up("edge-0")
    waiting = asyncio.ensure_future(applied.wait("catalog", 1, 5))
    await asyncio.sleep(0)
    applied.down("edge-0")
    assert await waiting == []


async def test_a_worker_that_does_not_answer_is_named() -> None:
    applied = Applied()
    applied.up("edge-4")
    assert await applied.wait("routes", 1, 0.01) == ["edge-4"]


async def test_a_worker_that_came_up_while_another_did_not_answer_has_its_own_time() -> None:
    now = 0.0
    applied = Applied(lambda: now)
    applied.up("edge-0")
    waiting = asyncio.ensure_future(applied.wait("routes", 1, 0.01))
    await asyncio.sleep(0)
    now = 0.009
    applied.up("edge-1")
    now = 0.01
    assert await waiting == ["edge-0"]
    applied.down("edge-0")
    rest = asyncio.ensure_future(applied.wait("routes", 1, 5))
    await asyncio.sleep(0)
    assert not rest.done()
    applied.applied("edge-1", "routes", 1)
    assert await rest == []
