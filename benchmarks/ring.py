"""What an isolate host costs by itself: batches of requests over its Unix socket, without edge workers or HTTP.

    python -m benchmarks.ring [--batch 1,32,128] [--seconds 2] [--platform FILE]

Prints requests per second, the time of a batch's round trip, and the host's CPU time per turn and per request.
"""

import argparse
import tempfile
import time
from pathlib import Path

from isolates import wire
from isolates.zygote import PLATFORM
from tests.isolates.driver import STUB, Edge, Host, Zygote

HELLO = "export default { fetch() { return new Response('hello world'); } };"
STUB_HELLO = "export default () => 'hello world';"
HEADERS = {
    "host": "hello.example.com",
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
    "accept": "text/html,application/xhtml+xml",
    "x-forwarded-for": "203.0.113.9",
    "x-forwarded-proto": "https",
    "x-request-id": "01890a5d-ac96-774b-bcce-b302099a8057",
}


def cpu_seconds(pid: int) -> float:
    """CPU time a process's main thread has used so far, in seconds, to the nanosecond."""
    return int((Path("/proc") / str(pid) / "schedstat").read_text().split()[0]) / 1e9


def requests(count: int) -> bytes:
    lines = ["GET", "https://hello.example.com/", HEADERS["x-request-id"]]
    for name, value in HEADERS.items():
        lines += [name, value]
    head = "\n".join(lines).encode()
    return b"".join(wire.encode(n + 1, wire.Type.REQUEST, flags=wire.END, head=head) for n in range(count))


def run(edge: Edge, pid: int, batch: int, seconds: float) -> tuple[float, float, float]:
    """Return requests per second, median round trip and CPU time per batch, both in µs."""
    data = requests(batch)
    edge.sock.sendall(data)
    size = sum(wire.HEADER_BYTES + len(frame.head) + len(frame.data) for frame in (edge.frame() for _ in range(batch)))
    buffer = bytearray(1 << 20)
    trips = []
    started, cpu = time.perf_counter(), cpu_seconds(pid)
    while (now := time.perf_counter()) - started < seconds:
        edge.sock.sendall(data)
        left = size
        while left > 0:
            left -= edge.sock.recv_into(buffer)
        trips.append(time.perf_counter() - now)
    elapsed = time.perf_counter() - started
    trips.sort()
    cpu_each = (cpu_seconds(pid) - cpu) / len(trips)
    return len(trips) * batch / elapsed, trips[len(trips) // 2] * 1e6, cpu_each * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.ring")
    parser.add_argument("--batch", default="1,32,128")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--platform", type=Path, default=PLATFORM if PLATFORM.exists() else STUB)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with Zygote(root, root / "cache", platform=options.platform) as zygote:
            host: Host = zygote.fork()
            edge = host.serve(STUB_HELLO if options.platform == STUB else HELLO)
            print(f"{zygote.engine}, {options.platform.name}")
            print(f"{'batch':>6} {'req/s':>9} {'trip µs':>9} {'CPU µs/batch':>13} {'CPU µs/request':>15}")
            for batch in map(int, options.batch.split(",")):
                run(edge, host.pid, batch, 0.5)
                rate, trip, cpu = run(edge, host.pid, batch, options.seconds)
                print(f"{batch:>6} {rate:>9.0f} {trip:>9.1f} {cpu:>13.1f} {cpu / batch:>15.2f}")


if __name__ == "__main__":
    main()
