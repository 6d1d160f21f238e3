"""Slows down clients that try tokens: a count of failures per address, of bounded size. Pure state.

Asked by `dataplane.endpoints` only after a token turned out wrong: a valid one always passes, so that nobody is locked
out by others behind the same address or proxy. Apps on the node count by their ids. What is over the limit is told so,
with 429, instead of being looked at.
"""

from collections import OrderedDict

FAILURES = 20
"""That many at once, …"""
SECONDS_PER_FAILURE = 3.0
"""… and then one in so many seconds."""
ADDRESSES = 10_000
"""The addresses that failed last are remembered."""


class Throttle:
    """A leaky bucket per address."""

    def __init__(self) -> None:
        self._full_until: OrderedDict[str, float] = OrderedDict()
        """Time at which the bucket will be empty."""

    def __repr__(self) -> str:
        return f"<Throttle {len(self._full_until)} addresses>"

    def failed(self, address: str, now: float) -> float:
        """Count a wrong token from `address` at `now`; return how many seconds it should wait, 0 if it need not."""
        until = max(self._full_until.pop(address, now), now)
        level = (until - now) / SECONDS_PER_FAILURE
        over = level + 1 > FAILURES
        self._full_until[address] = until if over else until + SECONDS_PER_FAILURE
        if len(self._full_until) > ADDRESSES:
            self._full_until.popitem(last=False)
        return (level - FAILURES + 1) * SECONDS_PER_FAILURE if over else 0.0
