"""The audit log: what is noted, for whom, how it is found, and what never is in it."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.state import audit
from runtime.state.audit import TOKENS, Entry, Filter, Subject
from runtime.state.schema import migrate
from runtime.state.store import Store
from tests.node_server import BRRRD, Node, eventually


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("audit") / "data", "--workers", "1", "--database-workers", "1") as running:
        yield running


def entries(node: Node, **query: str) -> list[dict[str, Any]]:
    """What is found, the oldest first."""
    found = node.control("GET", "/v1/audit", params=query).json()["entries"]
    return list(reversed(found))


def test_every_change_of_a_database_is_noted(node: Node) -> None:
    created = node.create_database("ledger", project="acme")
    one = f"/v1/databases/{created['database_id']}"
    node.create_database("ledger", project="acme")  # it is there already: nothing is changed
    wanted = {"ttl_seconds": 60, "audience": "support", "reason": "ticket 7", "access": "ro"}
    token = node.control("POST", one + "/query-token", json=wanted, headers={"Brrrd-Actor": "alice"}).json()
    rotated = node.control("POST", one + "/token/rotate").json()
    node.control("POST", one + "/suspend")
    node.control("POST", one + "/resume")
    snapshot = node.control("POST", one + "/snapshots").json()["snapshot"]["snapshot_id"]
    node.control("POST", one + "/restore", json={"snapshot_id": snapshot})
    node.control("GET", f"{one}/snapshots/{snapshot}")
    node.control("DELETE", f"{one}/snapshots/{snapshot}")
    node.control("DELETE", one)
    found = entries(node, database="ledger")
    assert [entry["action"].removeprefix("database.") for entry in found] == [
        *("create", "query-token", "rotate", "suspend", "resume", "snapshot", "restore"),
        *("snapshot-download", "snapshot-delete", "delete"),
    ]
    assert {(entry["project"], entry["database_id"]) for entry in found} == {("acme", created["database_id"])}
    assert found == entries(node, database=created["database_id"])
    assert (found[1]["by"], found[1]["detail"]) == ("alice", wanted)
    assert found[1]["client"].startswith("127.0.0.1 python-httpx")
    assert found[2]["by"] == "operator"
    assert found[6]["detail"]["snapshot_id"] == snapshot
    everything = json.dumps(found)
    for secret in (created["database_token"], rotated["database_token"], token["query_token"], node.token):
        assert secret not in everything


def test_every_change_of_an_app_is_noted_without_values(node: Node) -> None:
    app = "/v1/projects/default/apps/site"
    deployed = [node.deploy({"public/index.html": text}, "site")["build_id"] for text in ("a", "b")]
    node.control("PUT", app + "/environment/PASSWORD", json={"value": "hunter2-hunter2"})
    node.control("DELETE", app + "/environment/PASSWORD")
    node.control("DELETE", app + "/environment/PASSWORD")  # there is none any more
    node.control("POST", app + "/rollbacks", json={})
    node.control("POST", app + "/domains", json={"domain": "www.example.com"})
    node.control("POST", app + "/domains/www.example.com/finalize")
    node.control("DELETE", app + "/domains/www.example.com")
    node.control("DELETE", app + "/domains/www.example.com")
    assert node.upload({"brrrd.json": "{nope"}, "site").status_code == 422
    node.control("DELETE", app)
    found = entries(node, app="site")
    assert [entry["action"].removeprefix("app.") for entry in found] == [
        *("create", "deploy", "deploy", "environment.set", "environment.remove", "rollback"),
        *("domain.attach", "domain.finalize", "domain.remove", "delete"),
    ]
    assert [entry["detail"]["build_id"] for entry in found[1:3]] == deployed
    assert found[3]["detail"] == {"key": "PASSWORD"}
    assert found[5]["detail"] == {"build_id": deployed[0], "instead_of": deployed[1]}
    assert "hunter2" not in json.dumps(found)
    assert {entry["action"].partition(".")[0] for entry in entries(node, action="app")} == {"app"}


def test_pages_of_the_log(node: Node) -> None:
    node.create_database("paged")
    for _ in range(4):
        node.control("POST", "/v1/databases/paged/query-token", json={})
    numbers = [entry["number"] for entry in entries(node, database="paged")]
    newest = node.control("GET", "/v1/audit?database=paged&limit=2").json()["entries"]
    assert [entry["number"] for entry in newest] == numbers[:-3:-1]
    older = node.control("GET", f"/v1/audit?database=paged&limit=2&before={newest[-1]['number']}").json()["entries"]
    assert [entry["number"] for entry in older] == numbers[2:0:-1]
    since = node.control("GET", f"/v1/audit?database=paged&after={numbers[1]}").json()["entries"]
    assert [entry["number"] for entry in since] == numbers[2:]
    assert node.control("GET", "/v1/audit?limit=0").status_code == 400


def test_the_command_prints_lines_and_follows(node: Node) -> None:
    node.create_database("watched")
    reason = "\x1b[2J two\nlines"
    node.control("POST", "/v1/databases/watched/query-token", json={"reason": reason, "audience": "ops"})
    created, issued = node.cli("audit", "--database", "watched").stdout.splitlines()
    assert "database.create" in created
    assert "default/watched" in created
    assert 'ttl_seconds=300 access=rw audience=ops reason="\\u001b[2J two\\nlines"  by operator' in issued
    printed = [json.loads(line) for line in node.cli("audit", "--database", "watched", "--json").stdout.splitlines()]
    assert printed == entries(node, database="watched")
    command = [str(BRRRD), "audit", "--database", "watched", "--follow", "--json"]
    environment = node.env | {"BRRRD_API": node.control_url, "BRRRD_OPERATOR_TOKEN": node.token, "BRRRD_ACTOR": "me"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        try:
            assert [json.loads(following.stdout.readline()) for _ in printed] == printed
            node.control("POST", "/v1/databases/watched/suspend")
            assert json.loads(following.stdout.readline())["action"] == "database.suspend"
        finally:
            following.kill()


def test_the_command_says_who_uses_it(node: Node) -> None:
    node.env["BRRRD_ACTOR"] = "carol"
    try:
        node.cli("databases", "create", "by-name")
    finally:
        del node.env["BRRRD_ACTOR"]
    (created,) = entries(node, database="by-name")
    assert created["by"] == "carol"
    assert "brrrd-cli" in created["client"]
    assert "no such entry" in node.cli("audit", "--database", "nobody").stderr


def test_entries_outlive_the_node(node: Node) -> None:
    created = node.create_database("kept")
    processes = node.processes()
    node.kill()
    eventually(10, lambda: not any(process.is_alive() for process in processes))
    node.start()
    kept = entries(node, action="database.create", database=created["database_id"])
    assert [entry["database_id"] for entry in kept] == [created["database_id"]]


def entry(action: str, database: str = "a") -> Entry:
    return Entry(1.0, action, "operator", "", Subject("default", database=database, database_id=f"db-{database}"), {})


async def test_only_so_many_entries_stay_and_tokens_do_not_displace_others(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "state.db")
    await store.write(audit.add, entry("database.delete"), 3)
    for _ in range(audit.PRUNE_EVERY):
        await store.write(audit.add, entry(TOKENS), 3)
    for _ in range(5):
        await store.write(audit.add, entry("database.rotate"), 3)
    tokens = await store.read(audit.find, Filter(action=TOKENS), 1000)
    assert 3 <= len(tokens) <= 5
    assert len(await store.read(audit.find, Filter(action="database.delete"), 1000)) == 1
    await store.write(audit.prune, 3)
    others = [one for one in await store.read(audit.find, Filter(), 1000) if one.action != TOKENS]
    assert [one.action for one in others] == ["database.rotate"] * 3
    await store.close()


def test_the_schema_gives_every_entry_a_number_of_its_own() -> None:
    import sqlite3

    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    audit.add(connection, entry("database.create"), 10)
    connection.execute("DELETE FROM audit")
    audit.add(connection, entry("database.create"), 10)
    assert [one.number for one in audit.find(connection, Filter(after=0), 10)] == [2]
    connection.close()
