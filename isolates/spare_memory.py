"""Memory of dead arrays that a host keeps for the next ones, and when it gives that back. Called by `isolates.host`.

JavaScript asks for a collection when arrays of some megabytes have passed through (`garbage.ts`): V8 itself would let
64 MB of them pile up, which is more than any cache holds and more than `RUNS` of their pages.
"""

import contextlib
import math

from isolates.buffers import Counters
from isolates.v8.page_runs import PageRuns

RUNS = 512
"""8 MB of arrays of 16 KB, 32 MB of the largest that count."""
IDLE_SECONDS = 2.0
"""After so long without a request, memory is given back."""
LEAST_BYTES = 1 << 20
"""Less is not worth the page faults that follow."""


class SpareMemory:
    """`runs` is where the pages of dead arrays are."""

    def __init__(self, runs: PageRuns) -> None:
        self._runs = runs
        self._requests = 0
        self._since = 0.0
        """When there was last seen to be a request."""

    def __repr__(self) -> str:
        return f"<SpareMemory {self._runs!r}>"

    def trim(self, now: float, counters: Counters) -> float:
        """Give memory back if there was no request of late; return when to be called again at the latest."""
        if self._runs.empty_bytes < LEAST_BYTES:
            return math.inf
        if counters.active or counters.requests != self._requests:
            self._requests = counters.requests
            self._since = now
        idle_at = self._since + IDLE_SECONDS
        if now < idle_at:
            return idle_at
        # If the app has taken all that there is, there is nothing to give.
        with contextlib.suppress(MemoryError):
            self._runs.give_back()
        return math.inf
