"""The limit `cpu_ms` for the watchdog: on each turn of JavaScript, and on each operation on a thread beside it.

Used by the host. An operation counts by itself, since the turn that began it is over, and others run, when it ends.
"""

import threading
import time
from collections.abc import Callable

from isolates.crypto.calls import Calls
from isolates.ring import Ring
from isolates.watchdog import CpuLimit


def cpu_limits(cpu_ms: int, ring: Ring, crypto: Calls, expire: Callable[[str, str], None]) -> list[CpuLimit]:
    """Begin to measure if there is a limit (0: none). Called on the isolate's thread.

    `expire(what, how)` is called with the beginning and the end of a sentence when one is over it.
    """
    if not cpu_ms:
        return []
    ring.measure_cpu()
    clock = time.pthread_getcpuclockid(threading.get_ident())
    turn = CpuLimit(
        cpu_ms / 1000,
        busy_since=lambda: ring.busy_since,
        used=lambda: time.clock_gettime(clock) - ring.cpu_since,
        expire=lambda: expire("JavaScript used", "without a pause"),
    )
    operation = CpuLimit(
        cpu_ms / 1000,
        busy_since=crypto.busy_since,
        used=crypto.cpu_seconds,
        expire=lambda: expire("An operation of crypto.subtle used", "by itself"),
    )
    return [turn, operation]
