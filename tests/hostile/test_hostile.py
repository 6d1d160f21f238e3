"""Each hostile script against a real node: a defined answer in bounded time, and nobody else notices."""

import json
import time

import httpx
import pytest

from tests.hostile.attack import CUT, Attack
from tests.hostile.conftest import Neighbour
from tests.hostile.scripts import ALL
from tests.node_server import Node, eventually

APP = "hostile"
BOUND_SECONDS = 10.0
"""For an answer: the wall clock, the host's grace and death, and a busy machine."""


def test_the_table_is_large_and_its_names_are_unique() -> None:
    assert len(ALL) >= 60
    assert len({attack.name for attack in ALL}) == len(ALL)


@pytest.mark.parametrize("attack", ALL, ids=lambda attack: attack.name.replace(" ", "-"))
def test_a_hostile_script(attack: Attack, victim: Node, neighbour: Neighbour) -> None:
    before = neighbour.seen.copy()
    refused = deploy(victim, attack)
    if attack.deploys:
        status, text, took = call(victim, attack)
        assert status in attack.expected, f"{status} after {took:.1f} s: {text[:500]}\n{log(victim)[-1500:]}"
        assert attack.text in text
        assert took < BOUND_SECONDS
        if attack.recovers:
            eventually(BOUND_SECONDS, lambda: victim.get(APP, "/well", timeout=5).text == "well")
        if attack.logged:
            eventually(5, lambda: attack.logged in log(victim))
    else:
        assert attack.text in refused
    during = neighbour.seen - before
    assert set(during) <= {200}, during


def deploy(node: Node, attack: Attack) -> str:
    """Deploy the script in place of the one before; the refusal's text if it is one that must be refused."""
    limits = {"wall_ms": attack.wall_ms, "memory_mb": 64} | attack.limits
    manifest = json.dumps({"main": "_worker.js", "limits": limits})
    answer = node.upload({"_worker.js": attack.worker, "brrrd.json": manifest} | attack.files, APP)
    assert answer.status_code in ((200, 201) if attack.deploys else (422,)), answer.text
    return answer.text


def call(node: Node, attack: Attack) -> tuple[int, str, float]:
    """Send the request; status (`CUT` for a response that broke off), text, and the seconds it took."""
    started = time.monotonic()
    try:
        answer = node.request(attack.request.get("method", "GET"), APP, "/", **options(attack))
    except httpx.RemoteProtocolError as error:
        return CUT, repr(error), time.monotonic() - started
    return answer.status_code, answer.text, time.monotonic() - started


def options(attack: Attack) -> dict[str, object]:
    return {key: value for key, value in attack.request.items() if key != "method"} | {"timeout": 2 * BOUND_SECONDS}


def log(node: Node) -> str:
    """What the app's owner reads."""
    return node.cli("logs", "--app", APP, check=False).stdout
