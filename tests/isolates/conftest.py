"""Fixtures of the isolates room: one zygote with the stub platform for all tests, and hosts forked from it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.isolates.driver import Host, Zygote


@pytest.fixture(scope="session")
def snapshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("snapshots")


@pytest.fixture(scope="session")
def zygote(tmp_path_factory: pytest.TempPathFactory, snapshots: Path) -> Iterator[Zygote]:
    with Zygote(tmp_path_factory.mktemp("hosts"), snapshots) as running:
        yield running


@pytest.fixture
def host(zygote: Zygote) -> Iterator[Host]:
    """A fresh host; it ends with the test."""
    forked = zygote.fork()
    yield forked
    forked.close()


@pytest.fixture(scope="session")
def platform_zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    with Zygote(tmp_path_factory.mktemp("hosts"), tmp_path_factory.mktemp("cache"), platform=None) as running:
        yield running


@pytest.fixture
def platform_host(platform_zygote: Zygote) -> Iterator[Host]:
    """A fresh host with the real platform."""
    forked = platform_zygote.fork()
    yield forked
    forked.close()
