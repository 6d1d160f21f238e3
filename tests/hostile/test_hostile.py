"""Each hostile script against a real node: a defined answer in bounded time, and nobody else notices."""

import json
import time

import httpx
import pytest

from tests.hostile.attack import CUT, Attack
from tests.hostile.conftest import APP, Victim
from tests.hostile.neighbour import Neighbour
from tests.hostile.scripts import ALL
from tests.node_server import eventually, pack

BOUND_SECONDS = 10.0
"""For an answer: the wall clock, the host's grace and death, and a busy machine."""


def test_the_table_is_large_and_its_names_are_unique() -> None:
    assert len(ALL) >= 60
    assert len({attack.name for attack in ALL}) == len(ALL)


@pytest.mark.parametrize("attack", ALL, ids=lambda attack: attack.name.replace(" ", "-"))
def test_a_hostile_script(attack: Attack, victim: Victim, neighbour: Neighbour) -> None:
    before = neighbour.seen.copy()
    refused = deploy(victim, attack)
    if attack.deploys:
        status, text, took = call(victim, attack)
        assert status in attack.expected, f"{status} after {took:.1f} s: {text[:300]}\n{victim.log()[-1500:]}"
        assert attack.text in text
        assert took < BOUND_SECONDS
        if attack.recovers:
            eventually(BOUND_SECONDS, lambda: victim.edge.get("/well").text == "well")
        if attack.logged:
            eventually(10, lambda: attack.logged in victim.log())
    else:
        assert attack.text in refused
    during = neighbour.seen - before
    assert set(during) <= {"200"}, during


def test_limits_are_counted_by_name(victim: Victim) -> None:
    for attack in ALL:
        if attack.name in ("more CPU than cpu_ms", "body larger than response_mb"):
            deploy(victim, attack)
            call(victim, attack)

    def counted() -> bool:
        metrics = httpx.get(f"{victim.node.control_url}/metrics", trust_env=False).text
        lines = [line for line in metrics.splitlines() if line.startswith("brrrd_host_limits_total{")]
        return all(any(f'limit="{name}"' in line for line in lines) for name in ("cpu_ms", "response_mb"))

    eventually(10, counted, every=0.2)


def test_status_tells_what_holds_hosts(victim: Victim) -> None:
    status = victim.node.cli_json("status")
    assert {"no new privileges", "resource limits"} <= set(status["containment"])
    assert isinstance(status["not_contained"], list)


def deploy(victim: Victim, attack: Attack) -> str:
    """Deploy the script in place of the one before; the refusal's text if it is one that must be refused."""
    limits = {"wall_ms": attack.wall_ms, "memory_mb": 64} | attack.limits
    manifest = json.dumps({"main": "_worker.js", "limits": limits})
    package = pack({"_worker.js": attack.worker, "brrrd.json": manifest} | attack.files)
    answer = victim.control.post(f"/apps/{APP}/deployments", params={"hosts": f"{APP}.localhost"}, content=package)
    assert answer.status_code in ((200, 201) if attack.deploys else (422,)), answer.text
    return answer.text


def call(victim: Victim, attack: Attack) -> tuple[int, str, float]:
    """Send the request; status (`CUT` for a response that broke off), text, and the seconds it took."""
    started = time.monotonic()
    try:
        answer = victim.edge.request(attack.method, "/", content=attack.content)
    except httpx.RemoteProtocolError as error:
        return CUT, repr(error), time.monotonic() - started
    return answer.status_code, answer.text, time.monotonic() - started
