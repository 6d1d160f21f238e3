"""An app that uses its own database from inside, with the client its author would use anywhere."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.node_server import Node


@pytest.fixture(scope="module")
def notes(node: Node, build: Callable[..., dict[str, str | bytes]]) -> httpx.Client:
    database = node.create_database("notes")
    node.deploy(build("notes/index.ts"), "notes")
    node.cli(
        "apps", "env", "set", "--app", "notes",
        f"DATABASE_URL={database['database_url']}", f"DATABASE_TOKEN={database['database_token']}",
    )  # fmt: skip
    return node.client("notes.localhost")


def test_an_app_reads_and_writes_its_database(notes: httpx.Client) -> None:
    assert notes.post("/notes", content="erste Notiz").json()["id"] == 1
    assert notes.get("/").json()[0] == {"id": 1, "text": "erste Notiz"}


def test_an_interactive_transaction_is_rolled_back_or_committed(notes: httpx.Client) -> None:
    notes.post("/notes", content="quiet")
    assert notes.post("/swap", headers={"x-fail": "1"}).status_code == 409
    assert "quiet" in [note["text"] for note in notes.get("/").json()]
    assert notes.post("/swap").text == "swapped"
    assert "QUIET" in [note["text"] for note in notes.get("/").json()]


def test_many_requests_use_the_database_at_once(node: Node, notes: httpx.Client) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: node.request("POST", "notes", "/notes", content=f"note {n}"), range(40)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 40
