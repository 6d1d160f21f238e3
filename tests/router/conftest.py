"""One edge worker and one host per test module, as real processes, and who connects to them in a test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.router.edge import EdgeProcess, RawClient, app, edge_process, wire_host
from tests.router.placing_host import PlacingHost, placing_host


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge() -> AsyncIterator[EdgeProcess]:
    """An edge worker with an app that takes bodies of 100 kB, `a.localhost`, and one of the usual, `big.localhost`."""
    async with edge_process() as edge, wire_host(edge.directory / "host.sock"):
        path = edge.directory / "host.sock"
        big = app(path, app_id="app-2", host_id="host-2")
        await edge.route({"a.localhost": app(path, max_body_bytes=100_000), "big.localhost": big})
        yield edge


@pytest.fixture
def client(edge: EdgeProcess) -> Iterator[RawClient]:
    """A connection to the module's edge worker."""
    with edge.connect() as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def host(edge: EdgeProcess, tmp_path: Path) -> AsyncIterator[PlacingHost]:
    """A host that places bodies, of an app at an edge worker that has no other."""
    async with placing_host(edge, tmp_path / "h") as host:
        yield host
