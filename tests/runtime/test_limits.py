"""Which of the call, the manifest and the node decides a limit."""

import pytest

from artifacts.manifest import Limits as Own
from artifacts.manifest import Manifest
from runtime.config import Config
from runtime.control.deployments import limits


def test_the_call_comes_before_the_manifest_and_the_manifest_before_the_node() -> None:
    manifest = Manifest(limits=Own(wall_ms=60_000, max_concurrent_requests=7))
    node = Config(wall_ms=10_000, memory_mb=256)
    assert limits(node, manifest, None).wall_ms == 60_000
    assert limits(node, manifest, None).memory_mb == 256
    assert limits(node, manifest, None).max_concurrent_requests == 7
    assert limits(node, manifest, 9).max_concurrent_requests == 9


@pytest.mark.parametrize(
    ("own", "node", "effective"), [(None, 0, 0), (None, 500, 500), (200, 0, 200), (200, 500, 200), (900, 500, 500)]
)
def test_a_manifest_cannot_loosen_a_limit_that_the_node_switched_on(own: int | None, node: int, effective: int) -> None:
    manifest = Manifest(limits=Own(cpu_ms=own, response_mb=own))
    decided = limits(Config(cpu_ms=node, response_mb=node), manifest, None)
    assert (decided.cpu_ms, decided.response_mb) == (effective, effective)
