"""How much room apps may use for what they cache, and who has to give some up. Pure."""

from collections.abc import Mapping

import msgspec

SPARE = 32
"""With an entry that goes, as much goes as makes 1/32 of the limit free, so that the next ones find room."""


class Limits(msgspec.Struct, frozen=True):
    """Bytes, as the operator set them."""

    app_bytes: int
    total_bytes: int
    entry_bytes: int
    """Largest body."""


class Excess(msgspec.Struct, frozen=True):
    """An app has to give up `count` bytes."""

    app_id: str
    count: int


def excess(stored: Mapping[str, int], writing: Mapping[str, int], limits: Limits, app_id: str) -> Excess | None:
    """Return what has to go now that `app_id` has grown. `stored` and `writing` are bytes by app.

    An app over its own limit gives up its own. When all apps together are over theirs, it is the one with the most:
    an app that stores more and more never costs another what that has stored within an equal share.
    """
    own = stored.get(app_id, 0) + writing.get(app_id, 0) - limits.app_bytes
    if own > 0 and stored.get(app_id, 0):
        return Excess(app_id, own + limits.app_bytes // SPARE)
    total = sum(stored.values()) + sum(writing.values()) - limits.total_bytes
    largest = max(stored, key=lambda key: stored[key], default=None)
    if total > 0 and largest is not None and stored[largest]:
        return Excess(largest, total + min(limits.total_bytes, limits.app_bytes) // SPARE)
    return None


def refusal(writing: Mapping[str, int], limits: Limits, app_id: str, size: int, more: int) -> str | None:
    """Return why an app cannot write `more` bytes of a body that has `size` with them; None: it can.

    Bodies under way are on the disk too, so that all of them together stay within the limits.
    """
    if size > limits.entry_bytes:
        return f"the response is over the limit of one cache entry, cache_entry_mb = {limits.entry_bytes >> 20}"
    if writing.get(app_id, 0) + more > limits.app_bytes:
        return f"responses being stored are together over the app's limit, cache_mb = {limits.app_bytes >> 20}"
    if sum(writing.values()) + more > limits.total_bytes:
        return "the node is storing as much for its apps as it may at once; try again soon"
    return None
