"""The Cache API through the whole chain: what apps see, who sees what, and what survives."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.node_server import Node

FOLDER = Path(__file__).parent / "caches"
FILES = {path.name: path.read_text() for path in FOLDER.iterdir()}
PACKAGE = {"_worker.js" if name == "worker.js" else name: text for name, text in FILES.items()}
CASES = [
    name for file in ("cases.js", "server_cases.js") for name in re.findall(r"^  async '(.+)'\(", FILES[file], re.M)
]
CONFIG = ("--cache-mb", "8", "--cache-entry-mb", "2")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with Node(tmp_path_factory.mktemp("node") / "data", *CONFIG) as running:
        running.deploy(PACKAGE, "caching")
        yield running


@pytest.mark.parametrize("case", CASES)
def test_case(node: Node, case: str) -> None:
    answer = node.get("caching", f"/{quote(case)}")
    assert answer.text == "passed"
