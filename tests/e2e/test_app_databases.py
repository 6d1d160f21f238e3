"""Databases from an app on the same node, through `@libsql/client/web`: its requests go to the database worker."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from benchmarks.d1 import CLIENT
from tests.node import bundle, npm_project
from tests.node_server import Node, eventually

APP = """
import { createClient } from "@libsql/client/web";

const acts = {
  async all(client) {
    await client.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT)");
    const add = (item) => `INSERT INTO orders (item) VALUES ('${item}')`;
    await client.batch([add("tea"), add("milk")], "write");
    const transaction = await client.transaction("write");
    await transaction.execute("DELETE FROM orders");
    await transaction.rollback();
    await client.executeMultiple(`${add("jam")}; ${add("bread")}`);
    const { rows } = await client.execute({ sql: "SELECT item FROM orders WHERE id > ? ORDER BY id", args: [1] });
    return rows.map((row) => row.item);
  },
  async large(client) {
    const series = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)";
    const { rows } = await client.execute(`${series} SELECT i, printf('%.900c', 'x') AS text FROM n`);
    return [rows.length, rows[4999].i, rows.reduce((sum, row) => sum + row.text.length, 0)];
  },
  async one(client) {
    return (await client.execute("SELECT 1 AS one")).rows[0].one;
  },
};

export default {
  async fetch(request) {
    const { url, token, act } = await request.json();
    const client = createClient({ url, authToken: token });
    try {
      return Response.json({ result: await acts[act](client) });
    } catch (error) {
      return Response.json({ error: String(error), code: error.code, cause: String(error.cause ?? "") });
    } finally {
      client.close();
    }
  },
};
"""


@pytest.fixture(scope="module")
def shop(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any], str], dict[str, Any]]:
    """Runs one of the acts on a database, in the app."""
    directory = tmp_path_factory.mktemp("shop")
    entry, output = directory / "index.js", directory / "_worker.js"
    entry.write_text(APP)
    bundle(npm_project("libsql-web", CLIENT), entry, output, "--conditions=worker,browser")
    node.deploy({"_worker.js": output.read_bytes()}, "database-user")

    def run(database: dict[str, Any], act: str) -> dict[str, Any]:
        body = {"url": database["database_url"], "token": database["database_token"], "act": act}
        answer: dict[str, Any] = node.request("POST", "database-user", json=body).json()
        return answer

    return run


Shop = Callable[[dict[str, Any], str], dict[str, Any]]


@contextmanager
def counted(node: Node, name: str, status: str, more: int) -> Iterator[None]:
    """Expect `more` responses of a database in the metrics, soon after the block."""

    def count() -> float:
        start = f'brrrd_database_responses_total{{database="{name}",project="default",status="{status}"}} '
        lines = node.control("GET", "/metrics").text.splitlines()
        return sum(float(line.removeprefix(start)) for line in lines if line.startswith(start))

    before = count()
    yield
    eventually(10, lambda: count() >= before + more)


def test_the_client_works_in_an_app_and_its_requests_are_counted(node: Node, shop: Shop) -> None:
    database = node.create_database("orders")
    with counted(node, "orders", "2xx", 6):
        assert shop(database, "all") == {"result": ["milk", "jam", "bread"]}
        assert shop(database, "large") == {"result": [5000, 5000, 4_500_000]}
    with counted(node, "orders", "2xx", 1):
        node.sql(database, "SELECT 1")


def test_a_rotation_holds_for_apps_as_soon_as_it_returns(node: Node, shop: Shop) -> None:
    database = node.create_database("turned")
    for _ in range(3):
        assert shop(database, "one") == {"result": 1}
        rotated = node.cli_json("databases", "rotate", "turned")
        assert shop(database, "one")["code"] == "UNAUTHORIZED"
        database["database_token"] = rotated["database_token"]


def test_a_suspended_database_tells_the_app(node: Node, shop: Shop) -> None:
    database = node.create_database("halted")
    node.cli("databases", "suspend", "halted")
    assert "BLOCKED" in shop(database, "one")["code"]
    node.cli("databases", "resume", "halted")
    assert shop(database, "one") == {"result": 1}


@pytest.mark.parametrize("kind", ["egress", "database"])
def test_databases_are_reached_again_after_a_process_died(node: Node, shop: Shop, kind: str) -> None:
    database = node.create_database(f"after-{kind}")
    assert shop(database, "one") == {"result": 1}
    for process in node.processes(kind):
        process.kill()
    eventually(30, lambda: shop(database, "one") == {"result": 1})
