"""Databases through the whole node, with the clients that people use."""

from pathlib import Path

import httpx
import pytest

from tests.node import npm_project, run_node
from tests.node_server import Node

CLIENTS = {
    "@libsql/client": "0.18.0",
    "@tursodatabase/serverless": "1.4.0",
    "drizzle-orm": "0.45.4",
}


SCRIPTS = Path(__file__).parent / "clients"


@pytest.fixture(scope="session")
def clients() -> Path:
    return npm_project("libsql-clients", CLIENTS)


def test_a_database_is_created_listed_shown_and_deleted(node: Node) -> None:
    created = node.cli_json("databases", "create", "inventory")
    assert created["created"] is True
    assert created["database_url"] == f"{node.url}/v1/{created['database_id']}"
    assert created["database_token"]
    listed = node.cli_json("databases", "list")["databases"]
    assert created["database_id"] in [one["database_id"] for one in listed]
    assert created["database_token"] not in str(listed)
    node.sql(created, "create table t (n)")
    assert created["database_id"] in node.cli("databases", "show", "inventory").stdout
    node.cli("databases", "delete", "inventory", "--yes")
    gone = httpx.post(
        f"{created['database_url']}/v2/pipeline",
        headers={"Authorization": f"Bearer {created['database_token']}"},
        json={"requests": []},
        trust_env=False,
    )
    assert gone.status_code in (401, 404)


def test_rotation_is_a_hard_cutover(node: Node) -> None:
    database = node.create_database("rotated")
    query_token = node.control("POST", f"/v1/databases/{database['database_id']}/query-token", json={"ttl_seconds": 60})
    short = next(value for value in query_token.json().values() if isinstance(value, str) and len(value) > 40)
    node.sql(database, "select 1", token=short)
    rotated = node.cli_json("databases", "rotate", "rotated")
    for old in (database["database_token"], short):
        for _ in range(8):
            answer = httpx.post(
                f"{database['database_url']}/v2/pipeline",
                headers={"Authorization": f"Bearer {old}"},
                json={"requests": []},
                trust_env=False,
            )
            assert answer.status_code == 401
    node.sql(database, "select 1", token=rotated["database_token"])


def test_a_wrong_token_and_an_unknown_database_do_not_tell_which(node: Node) -> None:
    database = node.create_database("guarded")
    other = node.create_database("other")
    unknown = database["database_url"].rpartition("/")[0] + "/db-aaaaaaaaaaaa"
    wrong = {"Authorization": "Bearer wrong"}
    foreign = {"Authorization": f"Bearer {other['database_token']}"}

    def ask(url: str, headers: dict[str, str]) -> tuple[int, str]:
        answer = httpx.post(f"{url}/v2/pipeline", headers=headers, json={"requests": []}, trust_env=False)
        return answer.status_code, answer.text

    for headers in ({}, wrong, foreign):
        assert ask(database["database_url"], headers)[0] in (401, 404)
        assert ask(database["database_url"], headers) == ask(unknown, headers)


@pytest.mark.parametrize("client", ["libsql", "serverless", "drizzle"])
def test_a_real_client_reads_and_writes(node: Node, clients: Path, client: str) -> None:
    database = node.create_database(f"client-{client}")
    environment = {
        "URL": database["database_url"],
        "TOKEN": database["database_token"],
        "MIGRATIONS": str(SCRIPTS / "migrations"),
    }
    assert run_node(clients, SCRIPTS / f"{client}.mjs", env=environment).strip() == "ok"


def test_the_python_client_reads_and_writes(node: Node) -> None:
    import libsql

    database = node.create_database("python")
    connection = libsql.connect(database=database["database_url"], auth_token=database["database_token"])
    connection.execute("create table t (n integer, s text)")
    connection.execute("insert into t values (?, ?)", (1, "eins"))
    connection.commit()
    assert connection.execute("select n, s from t").fetchall() == [(1, "eins")]


def test_a_suspended_database_is_blocked_until_it_is_resumed(node: Node) -> None:
    database = node.create_database("paused")
    node.sql(database, "create table t (n)")
    node.cli("databases", "suspend", "paused")
    with pytest.raises(AssertionError, match="BLOCKED"):
        node.sql(database, "select * from t")
    node.cli("databases", "resume", "paused")
    node.sql(database, "select * from t")


def test_the_bare_url_finds_the_database_by_its_token(node: Node) -> None:
    database = node.create_database("bare")
    answer = httpx.post(
        f"{node.url}/v1/v2/pipeline",
        headers={"Authorization": f"Bearer {database['database_token']}"},
        json={"requests": [{"type": "execute", "stmt": {"sql": "select 7"}}, {"type": "close"}]},
        trust_env=False,
    )
    assert answer.status_code == 200
    assert answer.json()["results"][0]["response"]["result"]["rows"] == [[{"type": "integer", "value": "7"}]]
