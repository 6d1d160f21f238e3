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
    """The same with short limits."""
    async with serve_plane(
        statement_ms=500,
        transaction_ms=2000,
        contended_transaction_ms=500,
        idle_ms=1000,
        idle_writer_ms=1000,
        max_answer_bytes=1 << 20,
    ) as served:
        yield served
