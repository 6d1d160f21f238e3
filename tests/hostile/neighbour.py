"""An app that minds its own business while others attack, and its only client.

The client is a process of its own (`python -m tests.hostile.neighbour PORT`), so that what the tests do meanwhile does
not count as time that the node took. Nor does what it waits for the processor itself: users are on other machines, and
here those who attack compute as well, for as long as a tick of the kernel. So its slices are short, which lets it have
the processor back as soon as it is woken. It prints a line for each answer: status, or what went wrong, and seconds.
"""

import http.client
import subprocess
import sys
import threading
import time
from collections import Counter

from runtime import priority
from tests.node_server import Node, eventually

APP = "neighbour"
WORKER = "export default { fetch: () => new Response('fine') };"
PAUSE_SECONDS = 0.01


class Neighbour:
    """One request after the other, on one connection, until `stop`."""

    def __init__(self, node: Node) -> None:
        node.deploy({"_worker.js": WORKER}, APP)
        self.seen: Counter[str] = Counter()
        self.times: list[float] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.hostile.neighbour", str(node.port)], stdout=subprocess.PIPE, text=True
        )
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._thread.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def wait_for(self, count: int) -> None:
        """Until so many requests were made."""
        eventually(60, lambda: len(self.times) >= count)

    def p99_ms(self, since: int = 0, until: int | None = None) -> float:
        """The 99th percentile of the response times of these requests, in milliseconds."""
        times = sorted(self.times[since:until])
        return times[int(len(times) * 0.99)] * 1000 if times else 0.0

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            outcome, _, seconds = line.strip().rpartition(" ")
            self.seen[outcome] += 1
            self.times.append(float(seconds))


def main(port: int) -> None:
    """Ask until the process is ended."""
    priority.lower(0)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    while True:
        time.sleep(PAUSE_SECONDS)
        started = time.monotonic()
        try:
            connection.request("GET", "/", headers={"Host": f"{APP}.localhost"})
            response = connection.getresponse()
            response.read()
            outcome = str(response.status)
        except (OSError, http.client.HTTPException) as error:
            outcome = repr(error)
            connection.close()
        print(outcome, time.monotonic() - started, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
