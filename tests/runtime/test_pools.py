"""How many hosts an app gets: decisions over plain state."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from isolates.messages import Fire, Fired, HostStats, Limits
from runtime.channel import encode
from runtime.supervisor.host import Host
from runtime.supervisor.hosts import HostState, was_asked
from runtime.supervisor.placement import Placement
from runtime.supervisor.pool import CALM_SECONDS, RECENT_SECONDS, Bounds, Pool, for_run, may_grow, revival, surplus
from runtime.supervisor.reading import Turns
from runtime.supervisor.standby import wanted

BOUNDS = Bounds(least=0, most=3, idle_seconds=600)
CALM = -CALM_SECONDS


def stats(**changes: Any) -> HostStats:
    return HostStats(
        **{"requests": 1, "active": 0, "queued": 0, "refused": 0, "exceptions": 0, "heap_bytes": 0, **changes}
    )


async def host(*, blocked: bool = False, active: int = 0, websockets: int = 0) -> Host:
    made = Host("h", Path("/nonexistent"), lambda host: None, lambda host, message: None, Turns())
    made.state = HostState.READY
    made.blocked = blocked
    made.stats = stats(active=active, websockets=websockets)
    return made


def pool(hosts: list[Host], *, used: float = 0.0, max_isolates: int | None = None, **changes: Any) -> Pool:
    placement = Placement("a", "p", "a", "b", "/", "m", False, None, {}, Limits(), max_isolates)
    made = Pool(placement, used)
    made.hosts = hosts
    for name, value in changes.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({"requests": 2}, True),
        ({"refused": 1}, True),
        ({"active": 1}, True),
        ({"queued": 1}, True),
        ({"websockets": 1}, True),
        ({"exceptions": 9, "heap_bytes": 5, "limits": {"log_volume": 7}}, False),
    ],
)
def test_what_an_app_does_by_itself_is_no_use_of_it(changes: dict[str, Any], asked: bool) -> None:
    assert was_asked(stats(), stats(**changes)) is asked


@pytest.mark.parametrize(
    ("blocked", "changes", "grows"),
    [
        ([True], {}, True),
        ([False], {}, False),
        ([True, False], {}, False),
        ([True, True], {}, True),
        ([True, True, True], {}, False),
        ([], {}, False),
        ([True], {"starting": 1}, False),
        ([True], {"unavailable": "It keeps dying."}, False),
        ([True], {"max_isolates": 1}, False),
        ([True, True], {"max_isolates": 64}, True),
    ],
)
async def test_a_pool_grows_while_all_its_hosts_are_blocked(
    blocked: list[bool], changes: dict[str, Any], grows: bool
) -> None:
    made = pool([await host(blocked=one) for one in blocked], **changes)
    assert may_grow(made, made.bounds(BOUNDS)) is grows


@pytest.mark.parametrize(
    ("hosts", "least", "used", "blocked_at", "leaving"),
    [
        ("i", 0, 0.0, 0.0, 0),
        ("i", 0, -600.0, CALM, 1),
        ("ii", 0, -600.0, CALM, 2),
        ("ii", 1, -600.0, CALM, 1),
        ("a", 0, -600.0, CALM, 0),
        ("ii", 0, 0.0, CALM, 1),
        ("iii", 0, 0.0, CALM, 1),
        ("ii", 0, 0.0, CALM + 1, 0),
        ("ib", 0, -600.0, CALM, 0),
        ("w", 0, -600.0, CALM, 0),
        ("iw", 0, 0.0, CALM, 0),
        ("ii", 2, -600.0, CALM, 0),
        ("", 0, -600.0, CALM, 0),
    ],
    ids=str,
)
async def test_idle_pools_are_given_up_and_calm_ones_shrink_one_by_one(
    hosts: str, least: int, used: float, blocked_at: float, leaving: int
) -> None:
    kinds = [await host(active=one == "a", blocked=one == "b", websockets=one == "w") for one in hosts]
    made = pool(kinds, used=used, blocked=blocked_at)
    gone = surplus(made, Bounds(least, 3, 600.0), 0.0)
    assert gone == made.hosts[len(hosts) - leaving :]


async def test_a_pool_that_is_about_to_grow_does_not_shrink() -> None:
    assert surplus(pool([await host()], used=-1000.0, starting=1), BOUNDS, 0.0) == []


async def test_after_the_zygote_died_the_apps_in_use_come_back_first_and_the_others_when_asked_for() -> None:
    pools = {
        "long ago": pool([], used=-RECENT_SECONDS - 1),
        "before": pool([], used=-20.0),
        "just now": pool([], used=-1.0),
        "serving": pool([await host()], used=0.0),
        "starting": pool([], used=0.0, starting=1),
    }
    assert revival(pools, 0.0) == ["just now", "before"]


@pytest.mark.parametrize(("app", "node", "most"), [(None, 3, 3), (1, 3, 1), (2, 3, 2), (64, 3, 3)])
def test_an_app_may_have_fewer_isolates_than_the_node_allows(app: int | None, node: int, most: int) -> None:
    bounds = pool([], max_isolates=app).bounds(Bounds(2, node, 1.0))
    assert bounds.most == most
    assert bounds.least <= most


@pytest.mark.parametrize(
    ("count", "waiting", "starting", "forks"), [(2, 0, 0, True), (2, 2, 0, False), (2, 1, 1, False), (0, 0, 0, False)]
)
def test_blank_hosts_are_forked_while_nothing_is_started(count: int, waiting: int, starting: int, forks: bool) -> None:
    assert wanted(count, waiting, starting) is forks


async def test_a_host_that_runs_a_cron_is_not_idle() -> None:
    serving = await host()
    ours, theirs = socket.socketpair()
    await serving.attach(ours)
    run = asyncio.create_task(serving.fire(Fire("run", "* * * * *", 0)))
    await asyncio.sleep(0)
    idle = pool([serving])
    assert surplus(idle, BOUNDS, 10_000.0) == []
    theirs.sendall(encode(Fired("run", "ok", 1.0)))
    assert (await run).outcome == "ok"
    assert surplus(idle, BOUNDS, 10_000.0) == [serving]
    theirs.close()
    await serving.gone.wait()


async def test_a_cron_runs_where_javascript_yields() -> None:
    blocked, free = await host(blocked=True), await host()
    assert for_run(pool([blocked, free])) is free
    assert for_run(pool([blocked])) is blocked
    assert for_run(pool([])) is None
