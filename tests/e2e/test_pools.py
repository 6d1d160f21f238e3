"""Several isolates per app, none for an idle one: what callers notice of it."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.node_server import Node, eventually

BLOCK_SECONDS = 4.0
APP = f"""
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export default {{ async fetch(request) {{
  const {{ pathname, searchParams }} = new URL(request.url);
  const seconds = Number(searchParams.get("seconds") ?? {BLOCK_SECONDS});
  if (pathname === "/block") for (const until = Date.now() + seconds * 1000; Date.now() < until;);
  if (pathname === "/sleep") await sleep(1000);
  if (pathname === "/echo") return new Response(await request.text());
  return new Response("served");
}} }}"""


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    options = ("--workers", "2", "--database-workers", "1", "--max-isolates", "2")
    with Node(tmp_path_factory.mktemp("pools") / "data", *options) as node:
        yield node


def hosts_of(node: Node, app: str) -> list[dict[str, Any]]:
    app_id = node.control("GET", f"/v1/projects/default/apps/{app}").json()["app"]["app_id"]
    return [host for host in node.control("GET", "/v1/status").json()["hosts"] if host["app_id"] == app_id]


def status_of(node: Node, app: str) -> str:
    return str(node.control("GET", f"/v1/projects/default/apps/{app}").json()["app"]["status"])


def block(node: Node, app: str, seconds: float = BLOCK_SECONDS) -> threading.Thread:
    """Send a request that blocks its isolate; returns once it does."""
    thread = threading.Thread(target=node.get, args=(app, f"/block?seconds={seconds}"))
    thread.start()
    eventually(seconds - 1, lambda: any(host["state"] == "blocked" for host in hosts_of(node, app)))
    return thread


def test_a_request_that_blocks_its_isolate_does_not_hold_up_others(pools: Node) -> None:
    node = pools
    node.deploy({"_worker.js": APP}, "busy")
    blocking = threading.Thread(target=node.get, args=("busy", "/block"))
    blocking.start()
    time.sleep(0.1)
    slowest = 0.0
    with node.client("busy.localhost") as client:
        while blocking.is_alive():
            began = time.monotonic()
            answer = client.post("/echo", content=b"body")
            assert (answer.status_code, answer.text) == (200, "body")
            slowest = max(slowest, time.monotonic() - began)
    print(f"the slowest of the others took {slowest * 1000:.0f} ms")
    assert slowest < BLOCK_SECONDS / 2
    assert len(hosts_of(node, "busy")) == 2


def test_the_cap_on_requests_holds_over_all_isolates_of_an_app(pools: Node) -> None:
    node = pools
    node.deploy({"_worker.js": APP}, "capped", max_concurrent_requests=2)
    blocking = block(node, "capped", 8)
    eventually(4, lambda: len(hosts_of(node, "capped")) == 2)
    # One of the two places is taken by the request that blocks.
    with ThreadPoolExecutor(8) as pool:
        began = time.monotonic()
        answers = list(pool.map(lambda _: node.get("capped", "/sleep").status_code, range(3)))
        took = time.monotonic() - began
    assert answers == [200, 200, 200]
    assert took > 2.5
    blocking.join()


def test_an_app_with_one_isolate_makes_others_wait_for_it(pools: Node) -> None:
    node = pools
    node.deploy({"_worker.js": APP, "brrrd.json": '{"main": "_worker.js", "limits": {"max_isolates": 1}}'}, "single")
    blocking = block(node, "single")
    began = time.monotonic()
    assert node.get("single").text == "served"
    assert time.monotonic() - began > 1
    assert len(hosts_of(node, "single")) == 1
    blocking.join()


def test_requests_in_flight_survive_deploys(pools: Node) -> None:
    """Requests that cross the old build's drain go to the new one."""
    node = pools
    node.deploy({"_worker.js": APP}, "moving")
    seen: Counter[int] = Counter()
    stop = threading.Event()

    def load() -> None:
        with node.client("moving.localhost") as client:
            while not stop.is_set():
                seen[client.post("/echo", content=b"x").status_code] += 1

    loading = [threading.Thread(target=load) for _ in range(2)]
    for thread in loading:
        thread.start()
    for _ in range(5):
        node.deploy({"_worker.js": APP}, "moving")
    stop.set()
    for thread in loading:
        thread.join()
    assert set(seen) == {200}


def test_an_idle_app_gives_up_its_isolate_and_comes_back(start_node: Callable[..., Node]) -> None:
    node = start_node("--workers", "2", "--database-workers", "1", "--idle-seconds", "1")
    # It is over a limit all the time, which its host reports, without anybody's asking.
    by_itself = "; setInterval(() => new BroadcastChannel('a').postMessage('x'.repeat(1e5)), 100);"
    node.deploy({"_worker.js": APP + by_itself}, "idle")
    eventually(10, lambda: status_of(node, "idle") == "idle" and not hosts_of(node, "idle"))
    assert node.get("idle").text == "served"
    assert status_of(node, "idle") == "ready"


def test_min_isolates_keeps_an_app_up(start_node: Callable[..., Node]) -> None:
    options = ("--workers", "1", "--database-workers", "1", "--idle-seconds", "1", "--min-isolates", "1")
    node = start_node(*options)
    node.deploy({"_worker.js": APP}, "kept")
    [before] = hosts_of(node, "kept")
    os.kill(before["pid"], signal.SIGKILL)
    eventually(10, lambda: [host["pid"] for host in hosts_of(node, "kept") if host["pid"] != before["pid"]])
    time.sleep(2.5)
    assert status_of(node, "kept") == "ready"
    assert node.stop() == 0
    node.start()
    # Not before the node is ready: an app that cannot start is not to keep the others from being served.
    eventually(10, lambda: status_of(node, "kept") == "ready")


def test_many_apps_come_back_after_a_restart_and_after_the_zygote_died(start_node: Callable[..., Node]) -> None:
    node = start_node("--workers", "2", "--database-workers", "1")
    apps = [f"app{number}" for number in range(30)]
    for app in apps:
        node.deploy({"_worker.js": APP}, app)
    assert node.stop() == 0
    node.start()
    assert node.control("GET", "/v1/status").json()["apps"]["idle"] == len(apps)

    def ask(app: str) -> str:
        return node.get(app).text

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(ask, apps)) == {"served"}
        for zygote in node.processes("zygote"):
            zygote.kill()
        # Nobody asks: apps in use come back by themselves.
        took = eventually(20, lambda: node.control("GET", "/v1/status").json()["apps"]["ready"] == len(apps))
        print(f"{len(apps)} apps were back {took:.1f} s after the zygote died")
        assert set(pool.map(ask, apps)) == {"served"}
