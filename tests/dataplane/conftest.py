"""Fixtures of the data plane's tests."""

from collections.abc import AsyncIterator

import pytest

from tests.dataplane.plane import Plane, serve_plane


@pytest.fixture
async def plane() -> AsyncIterator[Plane]:
    """A data plane with the databases `MAIN` and `OTHER`."""
    async with serve_plane() as served:
        yield served


@pytest.fixture
async def hasty_plane() -> AsyncIterator[Plane]:
    """The same with a limit of half a second for one statement."""
    async with serve_plane(statement_ms=500) as served:
        yield served
