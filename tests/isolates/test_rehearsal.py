"""Hosts that stand by rehearse; no app may be able to tell."""

import json
import time

import pytest

from isolates import wire
from isolates.messages import HostStats, Limits, Loaded
from tests.isolates.driver import Host, Zygote

LOOK = """
const first = setTimeout(() => {}, 0);
const names = (value) => Object.getOwnPropertyNames(value).join();
export default {
  async fetch(request, env) {
    return Response.json({
      first: `${first}`, globals: names(globalThis), atomics: names(Atomics), wasm: names(WebAssembly),
      here: [typeof URL, typeof Response.json, typeof process.env], env: Object.keys(env),
      origin: performance.timeOrigin, now: performance.now(), entries: performance.getEntries().length,
    });
  },
};
"""


def look(host: Host, **settings: object) -> dict[str, object]:
    seen: dict[str, object] = json.loads(host.serve(LOOK, **settings).ask())
    return seen


@pytest.mark.parametrize("node", [False, True])
def test_a_rehearsal_leaves_nothing_for_the_app_to_see(platform_zygote: Zygote, node: bool) -> None:
    plain = platform_zygote.fork()
    stood_by = platform_zygote.fork(stands_by=True)
    time.sleep(0.2)
    before = time.time() * 1000
    (expected, found) = (look(host, node=node, environment={"NAME": "value"}) for host in (plain, stood_by))
    clocks = {"origin", "now"}
    assert {name: value for name, value in found.items() if name not in clocks} == {
        name: value for name, value in expected.items() if name not in clocks
    }
    assert "brrrd" not in str(found["globals"])
    assert found["origin"] >= before - 1  # type: ignore[operator]
    assert stood_by.end.expect(HostStats).requests == 1
    for host in (plain, stood_by):
        host.close()


def test_a_load_that_comes_during_the_rehearsal_waits_for_its_end(platform_zygote: Zygote) -> None:
    host = platform_zygote.fork(stands_by=True)
    assert look(host)["first"] == "1"
    assert not [message for message in host.end.seen if isinstance(message, HostStats)]
    host.close()


def test_a_request_that_comes_during_the_rehearsal_is_for_the_app(platform_zygote: Zygote) -> None:
    host = platform_zygote.fork(stands_by=True)
    edge = host.connect()
    edge.request(1)
    host.load("export default () => new Response('the app')")
    frames = [edge.frame()]
    while frames[-1].type != wire.Type.RESPONSE:
        frames.append(edge.frame())
    assert (frames[-1].status, frames[-1].data) == (200, b"the app")
    host.close()


def test_an_app_with_another_memory_limit_gets_an_isolate_of_its_own(platform_zygote: Zygote) -> None:
    host = platform_zygote.fork(stands_by=True)
    assert look(host, limits=Limits(memory_mb=64))["first"] == "1"
    host.close()


def test_a_platform_that_knows_no_rehearsal_is_served_without(zygote: Zygote) -> None:
    host = zygote.fork(stands_by=True)
    assert host.serve("export default () => 'hello';").ask() == "hello"
    assert [message for message in host.end.seen if isinstance(message, Loaded)]
    host.close()
