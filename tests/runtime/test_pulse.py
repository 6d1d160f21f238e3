"""Processes that hang without dying are found and replaced."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable

from router.messages import Drain
from runtime.framing import BEAT, Decoder, encode
from runtime.supervisor.pulse import MOST_UNANSWERED, Pulse
from tests.node_server import Node, eventually

APP = """
export default { async fetch(request) {
  const found = await caches.default.match("http://cached.example/").catch((error) => error);
  return new Response(found instanceof Error ? "no cache" : "cache");
} }"""


def test_a_process_is_given_up_after_some_questions_in_a_row() -> None:
    pulse = Pulse()
    assert all(pulse.ask() for _ in range(MOST_UNANSWERED))
    pulse.answered()
    assert all(pulse.ask() for _ in range(MOST_UNANSWERED))
    assert not pulse.ask()


def test_beats_are_told_from_messages() -> None:
    decoder: Decoder[Drain] = Decoder(Drain)
    data = BEAT + encode(Drain(5)) + BEAT
    assert [message for byte in data for message in decoder.feed(bytes([byte]))] == [Drain(5)]
    assert decoder.beats() == 2 * BEAT
    assert decoder.beats() == b""


def test_processes_that_hang_are_replaced(start_node: Callable[..., Node]) -> None:
    """All kinds at once: cache, egress, database, zygote (and its hosts with it), and one of two edge workers."""
    node = start_node("--workers", "2", "--database-workers", "1")
    node.deploy({"_worker.js": APP}, "waits")
    kinds = ("cache", "egress", "database", "zygote", "edge")
    hung = [node.processes(kind)[0] for kind in kinds]
    began = time.monotonic()
    for process in hung:
        os.kill(process.pid, signal.SIGSTOP)
    eventually(60, lambda: not any(process.is_alive() for process in hung))
    assert time.monotonic() - began > 5, "ended by something else than silence"
    eventually(60, lambda: node.control("GET", "/readyz").status_code == 200)
    processes = node.control("GET", "/v1/status").json()["processes"]
    restarts = Counter({one["name"].partition("-")[0]: 0 for one in processes})
    for one in processes:
        restarts[one["name"].partition("-")[0]] += one["restarts"]
    assert restarts == {"edge": 1, "egress": 1, "cache": 1, "zygote": 1, "database": 1}
    assert node.get("waits", timeout=60).text == "cache"
    assert node.log().count("has not answered for 8 s and is replaced") == len(kinds)


def test_who_waits_for_a_process_that_hangs_is_answered_when_it_is_replaced(start_node: Callable[..., Node]) -> None:
    node = start_node("--workers", "1", "--database-workers", "1")
    node.deploy({"_worker.js": APP}, "waits")
    assert node.get("waits").text == "cache"
    os.kill(node.processes("cache")[0].pid, signal.SIGSTOP)
    # Well within the 30 s that the request might take.
    assert node.get("waits", timeout=25).text in ("cache", "no cache")
