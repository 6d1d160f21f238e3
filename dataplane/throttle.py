"""Slows down clients that try tokens: a count of failures per address, of bounded size. Pure state.

Asked by `dataplane.endpoints` only after a token turned out to be none: a valid one always passes, and one that was
valid is told to be over, so that nobody is locked out, or kept from renewing a token, by others behind the same address
or proxy. Apps on the node count by their ids. What is over the limit is told so, with 429, and when to come again.
"""

from collections import OrderedDict
from ipaddress import AddressValueError, IPv6Address

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
        address = _network(address)
        until = max(self._full_until.pop(address, now), now)
        level = (until - now) / SECONDS_PER_FAILURE
        over = level + 1 > FAILURES
        self._full_until[address] = until if over else until + SECONDS_PER_FAILURE
        if len(self._full_until) > ADDRESSES:
            self._full_until.popitem(last=False)
        return (level - FAILURES + 1) * SECONDS_PER_FAILURE if over else 0.0


def _network(address: str) -> str:
    """Return what counts as one client: of IPv6 a network of 64 bits, in which it may take any address it likes."""
    if ":" not in address:
        return address
    try:
        parsed = IPv6Address(address)
    except AddressValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return parsed.packed[:8].hex()
