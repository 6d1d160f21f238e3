"""Load from wrk (https://github.com/wg/wrk), and its figures in full precision.

wrk's own text rounds; a script's `done` function sees the numbers, so the figures are printed from there.
"""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.workloads import SERVICE, Workload

_HOSTS = r"""
local prepared, last = {}, 0
function init(arguments)
  for number, host in ipairs({NAMES}) do
    prepared[number] = wrk.format(nil, nil, {["Host"] = host})
  end
end
function request()
  last = last % #prepared + 1
  return prepared[last]
end
"""
_REPORT = r"""
wrk.method = METHOD
wrk.body = BODY
HOSTS
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\nRESULT {"requests":%d,"microseconds":%d,"p50":%f,"p99":%f,"bytes":%d,"failed":%d,"refused":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), summary.bytes,
    errors.connect + errors.read + errors.write + errors.timeout, errors.status))
end
"""
_LONG_SECONDS = 3600.0
"""Longer than any load is kept up."""


class Target(NamedTuple):
    """Where a worker is served."""

    url: str
    hosts: tuple[str, ...]
    """Host names; requests go to each in turn."""
    service: str = ""
    """URL of the loopback service that it may call."""

    def path(self, workload: Workload) -> str:
        """Path and query of the workload's request here."""
        return workload.path.replace(SERVICE, self.service)


class LoadError(Exception):
    """wrk is missing, or did not run."""


class Measurement(msgspec.Struct, frozen=True):
    """One run. Latencies are in microseconds; `failed` are broken or timed-out, `refused` answers of status ≥ 400.

    wrk adds the latencies of requests that a slow one kept from being sent, by the mean interval of a connection
    (coordinated omission): with one connection, a wait of 1 ms among requests of 0.1 ms counts some nine times.
    """

    rate: float
    """Requests per second."""
    p50: float
    p99: float
    failed: int
    refused: int


def require_wrk() -> str:
    path = shutil.which("wrk")
    if path is None:
        raise LoadError("wrk is not installed. On Debian and Ubuntu: apt-get install wrk. On macOS: brew install wrk.")
    return path


def _lua_string(text: str) -> str:
    return '"' + "".join(f"\\{byte:03d}" for byte in text.encode()) + '"'


def _script(workload: Workload, hosts: Sequence[str]) -> str:
    if workload.body_bytes:
        body = f'string.rep("b", {workload.body_bytes})'
    else:
        body = _lua_string(workload.body) if workload.body else "nil"
    names = _HOSTS.replace("NAMES", ", ".join(map(_lua_string, hosts))) if len(hosts) > 1 else workload.script
    return _REPORT.replace("METHOD", _lua_string(workload.method)).replace("BODY", body).replace("HOSTS", names)


@contextmanager
def _command(target: Target, workload: Workload, connections: int, seconds: float) -> Iterator[list[str]]:
    """Return a command of wrk, which has a file as long as the context lasts."""
    command = [
        require_wrk(), "--threads", "1", "--connections", str(connections), "--duration", f"{max(1, round(seconds))}s",
        "--timeout", "30s", "--header", f"Host: {target.hosts[0]}",
    ]  # fmt: skip
    for name, value in workload.headers.items():
        command += ["--header", f"{name}: {value}"]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "report.lua"
        script.write_text(_script(workload, target.hosts))
        yield [*command, "--script", str(script), target.url + target.path(workload)]


def measure(target: Target, workload: Workload, *, connections: int, seconds: float) -> Measurement:
    """Load `target` with keep-alive connections from one wrk thread for `seconds` (whole seconds, at least 1)."""
    with _command(target, workload, connections, seconds) as command:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    return parse(done.stdout, done.stderr)


@contextmanager
def loaded(target: Target, workload: Workload, *, connections: int) -> Iterator[None]:
    """Load `target` for as long as the context lasts, without measuring."""
    with _command(target, workload, connections, _LONG_SECONDS) as command:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            process.kill()
            process.wait()


def parse(output: str, errors: str = "") -> Measurement:
    for line in output.splitlines():
        if line.startswith("RESULT "):
            found = json.loads(line.removeprefix("RESULT "))
            return Measurement(
                rate=found["requests"] / (found["microseconds"] / 1e6),
                p50=found["p50"],
                p99=found["p99"],
                failed=found["failed"],
                refused=found["refused"],
            )
    raise LoadError(f"wrk gave no result: {errors.strip() or output.strip()}")
