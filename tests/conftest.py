"""Fixtures for tests that drive a whole node."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.node_server import Node


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One node for all tests that leave it healthy; each uses app and database names of its own."""
    with Node(tmp_path_factory.mktemp("node") / "data", "--workers", "2", "--database-workers", "2") as running:
        yield running


@pytest.fixture
def start_node(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Start nodes that a test may break: `start_node(*options, env=…)`. They are gone when the test ends."""
    with ExitStack() as stack:
        count = 0

        def start(*options: str, env: dict[str, str] | None = None) -> Node:
            nonlocal count
            count += 1
            return stack.enter_context(Node(tmp_path / f"node-{count}", *options, env=env))

        yield start
