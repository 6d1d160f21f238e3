"""Memory of dead arrays: what is kept, for whom, and when it is given back."""

import subprocess
import sys
import time
from math import inf
from pathlib import Path
from typing import Any, cast

import pytest

from isolates import wire
from isolates.buffers import Counters
from isolates.spare_memory import IDLE_SECONDS, LEAST_BYTES, SpareMemory
from isolates.v8.page_runs import PageRuns
from tests.isolates.driver import Edge, Host
from tests.isolates.page_run_cases import CASES

STREAM = """
const chunk = new Uint8Array(16384).fill(97);
export default {
  async fetch(request) {
    if (request.method === "POST") {
      let sum = 0;
      for await (const piece of request.body) sum += piece.length;
      return new Response(String(sum));
    }
    let left = 512;
    return new Response(new ReadableStream({
      pull(controller) {
        controller.enqueue(chunk.slice());
        if (--left === 0) controller.close();
      },
    }));
  },
};
"""
MB = 1 << 20


@pytest.mark.parametrize("name", CASES)
def test_pages_of_dead_arrays(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.isolates.page_run_cases", name], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and done.stdout == "through\n", f"{done.returncode}\n{done.stdout}{done.stderr}"


class Runs:
    def __init__(self) -> None:
        self.empty_bytes = 8 * MB
        self.given = 0

    def give_back(self) -> None:
        self.given += 1
        self.empty_bytes = 0


def counters(requests: int, active: int = 0) -> Counters:
    return Counters(active, 0, requests, 0, 0, 0)


def test_memory_is_given_back_when_no_request_came_for_a_while() -> None:
    runs = Runs()
    spare = SpareMemory(cast(PageRuns, cast(Any, runs)))
    assert spare.trim(100.0, counters(1)) == 100.0 + IDLE_SECONDS
    assert spare.trim(101.0, counters(1)) == 100.0 + IDLE_SECONDS
    assert spare.trim(101.5, counters(2)) == 101.5 + IDLE_SECONDS
    assert spare.trim(104.0, counters(2, active=1)) == 104.0 + IDLE_SECONDS
    assert runs.given == 0
    assert spare.trim(104.0 + IDLE_SECONDS, counters(2)) == inf
    assert runs.given == 1


def test_little_memory_is_kept() -> None:
    runs = Runs()
    runs.empty_bytes = LEAST_BYTES - 1
    spare = SpareMemory(cast(PageRuns, cast(Any, runs)))
    assert spare.trim(1e9, counters(1)) == inf
    assert runs.given == 0


def faults(host: Host) -> int:
    return int(Path(f"/proc/{host.pid}/stat").read_text().rpartition(")")[2].split()[7])


def resident(host: Host) -> int:
    return int(Path(f"/proc/{host.pid}/statm").read_text().split()[1]) * 4096


def download(edge: Edge, stream: int) -> int:
    """Ask for the streamed body, granting all that comes; return its size."""
    edge.request(stream)
    size = 0
    while not (frame := edge.frame()).flags & wire.END:
        size += len(frame.data)
        if frame.data:
            edge.sock.sendall(wire.encode(stream, wire.Type.WINDOW, data=len(frame.data).to_bytes(4, "little")))
    return size + len(frame.data)


def test_streams_use_the_same_memory_and_leave_none(platform_host: Host) -> None:
    edge = platform_host.serve(STREAM)
    for stream in range(1, 9):
        assert download(edge, stream) == 8 * MB
    before = faults(platform_host)
    for stream in range(9, 19):
        assert download(edge, stream) == 8 * MB
    # 80 MB: in memory of the kernel's each page would be a fault.
    assert faults(platform_host) - before < 80 * MB // 4096 / 4
    busy = resident(platform_host)
    deadline = time.monotonic() + 20
    while resident(platform_host) > busy - 2 * MB:
        assert time.monotonic() < deadline, "memory is not given back"
        time.sleep(0.05)
