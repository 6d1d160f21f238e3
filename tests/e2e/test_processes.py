"""Processes may die at any moment: what heals, what ends, and what never outlives the supervisor."""

import signal
import subprocess
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.dataplane.plane import STUCK
from tests.node_server import Node, eventually

SLOW = """
export default { fetch(request) {
  if (!request.url.endsWith("/slow")) return new Response("served");
  // It has begun when the client has the head.
  const encoder = new TextEncoder();
  return new Response(new ReadableStream({ start(controller) {
    controller.enqueue(encoder.encode("ser"));
    setTimeout(() => { controller.enqueue(encoder.encode("ved")); controller.close(); }, 2000);
  } }));
} }"""

NOMINAL_HEAL_SECONDS = 2.0
PATIENCE_SECONDS = 15.0
"""What the tests allow: the machine they run on may be busy."""


def stand_up(node: Node) -> dict[str, str]:
    """An app and a database that answer."""
    node.deploy({"_worker.js": SLOW}, "app")
    database = node.create_database("data")
    node.sql(database, "create table t (n integer)", "insert into t values (1)")
    assert node.get("app").text == "served"
    return database


def is_whole(node: Node, database: dict[str, str]) -> bool:
    return (
        node.get("app", timeout=5).text == "served"
        and node.sql(database, "select count(*) from t")[0]["rows"][0][0]["value"] >= "1"
    )


def is_whole_again(node: Node, database: dict[str, str]) -> bool:
    """Whether it is; a call on the connection to a process that has just died is answered 503."""
    try:
        return is_whole(node, database)
    except AssertionError:
        return False


@pytest.fixture(scope="module")
def healing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, dict[str, str]]]:
    with Node(tmp_path_factory.mktemp("healing") / "data", "--workers", "1", "--database-workers", "1") as node:
        yield node, stand_up(node)


@pytest.mark.parametrize("kind", ["host", "edge", "egress", "cache", "zygote", "database"])
def test_a_killed_process_is_replaced(healing: tuple[Node, dict[str, str]], kind: str) -> None:
    node, database = healing
    victims = node.processes(kind)
    assert victims, node.processes()
    for victim in victims:
        victim.kill()

    def healed() -> bool:
        whole = is_whole_again(node, database)
        alive = {process.pid for process in node.processes(kind)}
        return whole and len(alive) >= len(victims) and not alive & {victim.pid for victim in victims}

    took = eventually(PATIENCE_SECONDS, healed)
    print(f"{kind} healed in {took:.2f} s (nominal {NOMINAL_HEAL_SECONDS} s)")


@pytest.fixture
def stuck(start_node: Callable[..., Node]) -> Iterator[tuple[Node, dict[str, str]]]:
    """A node whose one database worker has to be replaced soon: one of its statements cannot be ended."""
    node = start_node("--workers", "1", "--database-workers", "1", "--statement-ms", "300")
    database = stand_up(node)
    noisy = node.create_database("noisy")
    outcome: list[str] = []

    def run() -> None:
        try:
            node.sql(noisy, STUCK)
        except (AssertionError, httpx.HTTPError) as error:
            outcome.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    yield node, database
    thread.join()
    assert len(outcome) == 1


def test_a_database_worker_is_replaced_without_a_gap(stuck: tuple[Node, dict[str, str]]) -> None:
    node, database = stuck
    (before,) = node.processes("database")

    def replaced() -> bool:
        assert node.sql(database, "insert into t values (2)", "select 1")
        (worker,) = [
            one for one in node.control("GET", "/v1/status").json()["processes"] if one["name"] == "database-0"
        ]
        # Up to now, and not only in the end, it is called ready.
        assert worker["state"] == "ready"
        return bool(worker["restarts"]) and not before.is_alive()

    eventually(PATIENCE_SECONDS, replaced)
    node.control("DELETE", f"/v1/databases/{database['database_id']}").raise_for_status()


@pytest.mark.parametrize("victim", ["the new process", "the old process"])
def test_a_database_worker_that_dies_while_another_one_takes_over(
    stuck: tuple[Node, dict[str, str]], victim: str
) -> None:
    node, database = stuck
    (before,) = node.processes("database")
    eventually(PATIENCE_SECONDS, lambda: len(node.processes("database")) == 2, every=0.002)
    for process in node.processes("database"):
        if (process.pid == before.pid) == (victim == "the old process"):
            process.kill()
    eventually(PATIENCE_SECONDS, lambda: not before.is_alive())
    eventually(PATIENCE_SECONDS, lambda: is_whole_again(node, database))
    assert len(node.processes("database")) == 1


@pytest.fixture
def unending(start_node: Callable[..., Node]) -> Iterator[tuple[Node, dict[str, str]]]:
    """A database with a statement under way that would run for minutes, cannot be ended, and is within its limit."""
    node = start_node("--workers", "1", "--database-workers", "1")
    database = stand_up(node)
    token = {"Authorization": f"Bearer {database['database_token']}"}
    document = {"requests": [{"type": "execute", "stmt": {"sql": STUCK}}]}
    url = f"{database['database_url']}/v2/pipeline"
    answers: list[httpx.Response] = []
    thread = threading.Thread(
        target=lambda: answers.append(httpx.post(url, headers=token, json=document, trust_env=False, timeout=60))
    )
    thread.start()
    metrics = f"{node.control_url}/metrics"
    running = 'brrrd_database_streams{worker="0"} 1.0'
    eventually(PATIENCE_SECONDS, lambda: running in httpx.get(metrics, trust_env=False).text)
    yield node, database
    thread.join()
    assert [answer.status_code for answer in answers] == [503]


def test_a_database_whose_statement_cannot_be_ended_is_deleted(unending: tuple[Node, dict[str, str]]) -> None:
    node, database = unending
    folder = node.data_dir / "databases" / database["database_id"]
    assert folder.exists()
    node.control("DELETE", f"/v1/databases/{database['database_id']}").raise_for_status()
    assert not folder.exists()


def test_a_database_whose_statement_cannot_be_ended_is_restored(unending: tuple[Node, dict[str, str]]) -> None:
    node, database = unending
    path = f"/v1/databases/{database['database_id']}"
    node.control("POST", f"{path}/snapshots").raise_for_status()
    node.sql(database, "insert into t values (2)")
    node.control("POST", f"{path}/restore", json={"snapshot_id": "latest"}).raise_for_status()
    assert node.sql(database, "select count(*) from t")[0]["rows"][0][0]["value"] == "1"


def test_no_process_outlives_a_killed_supervisor(start_node: Callable[..., Node]) -> None:
    node = start_node("--workers", "2")
    stand_up(node)
    family = node.processes()
    assert {"edge", "egress", "cache", "zygote", "host", "database"} <= {process.kind for process in family}
    node.kill()
    eventually(PATIENCE_SECONDS, lambda: not [process for process in family if process.is_alive()])


def test_a_node_comes_back_whole_after_a_kill(start_node: Callable[..., Node]) -> None:
    node = start_node("--workers", "1")
    database = stand_up(node)
    node.deploy({"public/file.txt": "static"}, "files")
    node.control("PUT", "/v1/projects/default/apps/app/environment/KEY", json={"value": "kept"})
    node.kill()
    node.start()
    assert is_whole(node, database)
    assert node.get("files", "/file.txt").text == "static"
    variables = node.control("GET", "/v1/projects/default/apps/app/environment").text
    assert "kept" in variables


def test_a_restart_serves_from_the_cache_without_unpacking(start_node: Callable[..., Node]) -> None:
    node = start_node("--workers", "1")
    node.deploy({"public/marker-file.txt": "static", "_worker.js": SLOW}, "app")
    [file] = node.data_dir.rglob("marker-file.txt")
    before = file.stat()
    assert node.stop() == 0
    node.start()
    assert node.get("app", "/marker-file.txt").text == "static"
    assert file.stat().st_ino == before.st_ino
    assert file.stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_drain_finishes_requests_in_flight_and_exits_0(start_node: Callable[..., Node], how: signal.Signals) -> None:
    node = start_node("--workers", "2")
    stand_up(node)
    family = node.processes()
    assert node.process is not None
    with node.client("app.localhost").stream("GET", "/slow") as answer:
        node.process.send_signal(how)
        assert answer.read() == b"served"
    assert node.wait() == 0
    assert not [process for process in family if process.is_alive()]
    with pytest.raises(httpx.ConnectError):
        node.get("app")


def test_a_second_signal_ends_at_once(start_node: Callable[..., Node]) -> None:
    node = start_node("--workers", "1")
    node.deploy({"_worker.js": SLOW.replace("2000", "20000")}, "app")
    assert node.process is not None
    family = node.processes()
    with node.client("app.localhost").stream("GET", "/slow") as answer:
        node.process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            node.process.wait(1)
        node.process.send_signal(signal.SIGTERM)
        node.wait(10)
        with pytest.raises(httpx.TransportError):
            answer.read()
    eventually(PATIENCE_SECONDS, lambda: not [process for process in family if process.is_alive()])


def test_two_nodes_do_not_share_a_data_directory(healing: tuple[Node, dict[str, str]]) -> None:
    node, _ = healing
    with pytest.raises(RuntimeError, match=str(node.data_dir)):
        Node(node.data_dir, "--workers", "1").start()
    assert node.control("GET", "/v1/status").status_code == 200
