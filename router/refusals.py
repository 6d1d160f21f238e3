"""What becomes of a request that its host did not answer: whether another one may have it, else the error."""

from isolates import wire
from router.errors import EdgeError
from router.stream import Loss

UNSEEN = frozenset((wire.BLOCKED, wire.DRAINING))
"""Refusals of requests that no code of the app has seen: another host may have them."""
MOST_ATTEMPTS = 5


def refusal(status: int, code: str, detail: str) -> EdgeError:
    """Return the error for a REFUSE frame. Its detail is for the app's owner, except with 503, where it says why."""
    if status == 503:
        return EdgeError(503, detail, code=code, retry_after=1)
    return EdgeError(status if 400 <= status <= 599 else 502, code=code)


def lost(loss: Loss) -> EdgeError:
    """Return the error for a request whose stream ended before its response began."""
    if loss is Loss.DEADLINE:
        return EdgeError(504, code="deadline")
    if loss is Loss.HOST:
        return EdgeError(503, code="host_gone", retry_after=1)
    return EdgeError(502, code="cancelled")
