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


@pytest.fixture
async def patient_plane() -> AsyncIterator[Plane]:
    """The same with limits on transactions that no test lives to see: what ends one is something else."""
    hour = 3_600_000
    async with serve_plane(
        statement_ms=hour, transaction_ms=hour, contended_transaction_ms=hour, idle_ms=hour, idle_writer_ms=hour
    ) as served:
        yield served
