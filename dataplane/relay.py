"""Threads that take turns at leading one event loop, so that a slow statement holds up nobody else.

The leader runs the loop and, within it, short pieces of work: no hand-over, no locks, no waiting for another thread.
When a piece turns out to be slow, its own thread (called back from inside SQLite, see `Connection.hook`) gives the
lead to a waiting thread and finishes the piece aside; libSQL runs without the GIL, so the two really run side by
side. All state belongs to whoever leads.
"""

import logging
import os
import threading
from collections.abc import Callable

MAX_THREADS = 256
log = logging.getLogger("brrrd.dataplane")


class Relay:
    """Runs `lead` on one thread at a time. `lead` returns when its thread has given the lead away."""

    def __init__(self, lead: Callable[[], None]) -> None:
        self._lead = lead
        self._turn = threading.Semaphore(0)
        self._waiting = 0
        self._threads = 0
        self._guard = threading.Lock()

    def __repr__(self) -> str:
        return f"<Relay [{self._threads} threads, {self._waiting} waiting]>"

    def run(self) -> None:
        """Lead on the calling thread first; never returns."""
        self._threads = 1
        self._turn.release()
        self._serve()

    def give_away(self) -> bool:
        """Let another thread lead from now on; False if there are too many already. Only the leader may call."""
        with self._guard:
            if not self._waiting:
                if self._threads >= MAX_THREADS:
                    return False
                self._threads += 1
                threading.Thread(target=self._serve, name=f"relay-{self._threads}", daemon=True).start()
        self._turn.release()
        return True

    def _serve(self) -> None:
        while True:
            with self._guard:
                self._waiting += 1
            self._turn.acquire()
            with self._guard:
                self._waiting -= 1
            try:
                self._lead()
            except BaseException:
                # The door of the room: state may be torn, so the process ends, and is restarted with its WAL recovered.
                log.exception("the database worker failed")
                os._exit(70)
