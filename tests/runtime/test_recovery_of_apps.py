"""Apps whose processes die, on a running node."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.node_server import Node, eventually

MORTAL = """
export default { async fetch(request) {
  if (request.url.endsWith("/wait")) await new Promise((resolve) => setTimeout(resolve, 20000));
  console.log("alive");
  return new Response("alive");
} }"""


def host_of(node: Node, app: str) -> int | None:
    """Process id of the host that serves an app."""
    app_id = node.control("GET", f"/v1/projects/default/apps/{app}").json()["app"]["app_id"]
    hosts = node.control("GET", "/v1/status").json()["hosts"]
    return next((host["pid"] for host in hosts if host["app_id"] == app_id and host["state"] == "ready"), None)


@pytest.fixture(scope="module")
def crashing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    options = ("--workers", "1", "--database-workers", "1")
    with Node(tmp_path_factory.mktemp("crashing") / "data", *options) as node:
        yield node


def test_an_app_that_keeps_dying_is_quarantined_until_it_is_deployed_again(crashing: Node) -> None:
    node = crashing
    node.deploy({"_worker.js": MORTAL}, "dying")
    node.deploy({"_worker.js": MORTAL}, "neighbour")
    path = "/v1/projects/default/apps/dying"

    def quarantined() -> bool:
        pid = host_of(node, "dying")
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        assert node.get("neighbour").text == "alive"
        app = node.control("GET", path).json()["app"]
        if app["status"] != "quarantined":
            return False
        # The first quarantines are short: on a slow machine one may be over by now, and the next death makes another.
        details.append(app["detail"])
        return node.get("dying", timeout=3).status_code == 503

    details: list[str] = []
    eventually(40, quarantined)
    assert "SIGKILL" in details[-1]
    assert "new deployment" in details[-1]
    node.deploy({"_worker.js": MORTAL}, "dying")
    assert node.get("dying").text == "alive"
    assert node.control("GET", path).json()["app"]["status"] == "ready"


def test_a_host_that_dies_costs_its_requests_a_503_and_the_next_ones_nothing(crashing: Node) -> None:
    node = crashing
    node.deploy({"_worker.js": MORTAL}, "struck")
    answers: list[int] = []
    waiting = threading.Thread(target=lambda: answers.append(node.get("struck", "/wait").status_code))
    waiting.start()
    eventually(10, lambda: any(host["active"] for host in node.control("GET", "/v1/status").json()["hosts"]))
    pid = host_of(node, "struck")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    # The edge has seen the end of the host when the request there is answered: not before is another one the next.
    waiting.join()
    assert answers == [503]
    assert node.get("struck").text == "alive"


def test_hosts_of_a_killed_zygote_leave_no_zombies(crashing: Node) -> None:
    node = crashing
    node.deploy({"_worker.js": MORTAL}, "orphan")
    assert node.process is not None
    supervisor = node.process.pid
    for victim in node.processes("zygote"):
        os.kill(victim.pid, signal.SIGKILL)
    eventually(8, lambda: node.get("orphan").text == "alive")

    def zombies() -> list[str]:
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if fields[0] == "Z" and int(fields[1]) == supervisor:
                found.append(str(stat))
        return found

    eventually(10, lambda: not zombies())


def test_requests_wait_while_all_apps_come_back_from_the_death_of_the_zygote(crashing: Node) -> None:
    node = crashing
    apps = [f"one-of-many-{number}" for number in range(16)]
    for app in apps:
        node.deploy({"_worker.js": MORTAL}, app)
    died = [*node.processes("zygote"), *node.processes("host")]
    for victim in node.processes("zygote"):
        os.kill(victim.pid, signal.SIGKILL)
    eventually(10, lambda: not any(process.is_alive() for process in died))
    with ThreadPoolExecutor(len(apps)) as threads:
        answers = list(threads.map(lambda app: node.get(app, timeout=30).status_code, apps))
    assert answers == [200] * len(apps)


def test_logs_can_be_followed(crashing: Node) -> None:
    node = crashing
    node.deploy({"_worker.js": MORTAL}, "followed")
    headers = {"Authorization": f"Bearer {node.token}"}
    url = f"{node.control_url}/v1/projects/default/apps/followed/logs?follow=true&limit=0"
    with httpx.Client(trust_env=False, timeout=20) as client, client.stream("GET", url, headers=headers) as answer:
        assert answer.headers["content-type"] == "application/x-ndjson"
        request = threading.Timer(0.2, lambda: node.get("followed"))
        request.start()
        line = json.loads(next(line for line in answer.iter_lines() if line))
        request.join()
    assert (line["message"], line["level"]) == ("alive", "info")
    assert line["request_id"]


def test_a_deploy_while_the_zygote_is_down_waits_for_it(crashing: Node) -> None:
    node = crashing
    node.ensure_app("patient")
    for victim in node.processes("zygote"):
        os.kill(victim.pid, signal.SIGKILL)
    node.deploy({"_worker.js": MORTAL}, "patient")
    assert node.get("patient").text == "alive"


def test_a_deploy_replaces_an_edge_worker_that_hangs(crashing: Node) -> None:
    node = crashing
    node.deploy({"public/index.html": "old"}, "hanging")
    [hung] = node.processes("edge")
    os.kill(hung.pid, signal.SIGSTOP)
    node.deploy({"public/index.html": "new"}, "hanging")
    assert node.get("hanging").text == "new"
    assert not hung.is_alive()
