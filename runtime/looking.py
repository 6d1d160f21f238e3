"""Waits for an epoll object's events with patience: looks for them for a moment where that pays, then sleeps.

For loops of our own (`isolates.ring`, `dataplane.worker`); `runtime.lookout` does the same for those of asyncio. A leaf
module: it imports nothing of brrrd but `runtime.patience`.
"""

import os
from collections.abc import Callable
from os import sched_yield
from time import monotonic

from runtime.patience import LOOK_SECONDS, Patience, longest_look

Events = list[tuple[int, int]]


def patience() -> Patience:
    """Return patience for one kind of waiting, as much as the processor cores that this process may use allow."""
    return Patience(longest_look(len(os.sched_getaffinity(0))))


def wait(poll: Callable[[float], Events], seconds: float, patience: Patience, under_way: int) -> Events:
    """Wait up to `seconds` (negative: for ever) for events, of which there were none a moment ago. `poll` is epoll's.
    `under_way`: requests that are.

    Other processes that want the processor run between two looks: it may be them who are waited for.
    """
    if 0.0 <= seconds <= LOOK_SECONDS:
        return poll(seconds)
    began = now = monotonic()
    until = patience.begins(now, under_way)
    events: Events = []
    while now < until and not events:
        sched_yield()
        before, now = now, monotonic()
        patience.gave_way(before, now)
        events = poll(0.0)
    if not events:
        events = poll(seconds if seconds < 0.0 else max(0.0, began + seconds - now))
    patience.ends(monotonic())
    return events
