"""One edge worker and one host per test module, as real processes."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.router.edge import EdgeProcess, app, edge_process, wire_host


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge() -> AsyncIterator[EdgeProcess]:
    """An edge worker with an app that takes bodies of 100 kB, `a.localhost`, and one of the usual, `big.localhost`."""
    async with edge_process() as edge, wire_host(edge.directory / "host.sock"):
        path = edge.directory / "host.sock"
        big = app(path, app_id="app-2", host_id="host-2")
        await edge.route({"a.localhost": app(path, max_body_bytes=100_000), "big.localhost": big})
        yield edge
