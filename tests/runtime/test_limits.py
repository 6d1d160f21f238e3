"""Which of the call, the manifest and the node decides a limit."""

import msgspec
import pytest

from artifacts.errors import PackageError
from artifacts.manifest import Limits as Own
from artifacts.manifest import Manifest, parse
from runtime.bounds import MOST_CONCURRENT_REQUESTS
from runtime.config import Config
from runtime.control.limits import limits
from runtime.control.problems import Problem


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


@pytest.mark.parametrize("name", ["subrequests", "max_concurrent_subrequests", "subrequest_ms", "subrequest_mb"])
def test_a_manifest_can_only_be_stricter_about_subrequests(name: str) -> None:
    node = Config(subrequest_mb=5)
    assert getattr(limits(node, Manifest(), None), name) == getattr(node, name)
    assert getattr(limits(node, Manifest(limits=Own(**{name: 2})), None), name) == 2
    assert getattr(limits(node, Manifest(limits=Own(**{name: 1_000_000})), None), name) == getattr(node, name)


def test_a_manifest_may_ask_for_as_many_requests_at_once_as_the_node_may_be_set_to() -> None:
    node = msgspec.convert({"max_concurrent_requests": MOST_CONCURRENT_REQUESTS}, Config)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"max_concurrent_requests": MOST_CONCURRENT_REQUESTS + 1}, Config)
    manifest = parse(b'{"limits": {"max_concurrent_requests": %d}}' % node.max_concurrent_requests)
    assert limits(node, manifest, None).max_concurrent_requests == MOST_CONCURRENT_REQUESTS


def test_a_manifest_above_the_ceiling_is_refused_by_the_name_of_the_limit() -> None:
    node = Config(limit_ceilings=["wall_ms=60000", "max_concurrent_requests = 200"])
    assert limits(node, Manifest(limits=Own(wall_ms=60_000)), 200).wall_ms == 60_000
    with pytest.raises(PackageError, match=r'"limits\.wall_ms": 60001 is more than this node allows, which is 60000'):
        limits(node, Manifest(limits=Own(wall_ms=60_001)), None)
    with pytest.raises(Problem, match="max_concurrent_requests is 201; this node allows 200 at most"):
        limits(node, Manifest(), 201)
