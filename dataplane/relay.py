"""Threads that take turns at leading one event loop, so that a slow statement holds up nobody else.

The leader runs the loop and, within it, short pieces of work: no hand-over, no locks, no waiting for another thread.
When a piece turns out to be slow, its own thread (called back from inside SQLite, see `Connection.hook`) or the one
that watches it gives the lead to another thread, and the piece is finished aside; libSQL runs without the GIL, so the
two really run side by side. A thread that has lost the lead gets less of the processor than all that lead, edge workers
and others included, is interrupted now and then (`runtime.interrupts`), since one step of SQLite may be endless, and
ends with its piece: a process may lower its threads' priority (`runtime.priority`), but not raise it again. All state
belongs to whoever leads.
"""

import logging
import os
import threading
from collections.abc import Callable

from runtime import priority
from runtime.interrupts import Interrupts

MAX_THREADS = 256
log = logging.getLogger("brrrd.dataplane")


class Relay:
    """Runs `lead` on one thread at a time. `lead` returns when its thread has lost the lead and is done."""

    def __init__(self, lead: Callable[[], None]) -> None:
        self._lead = lead
        self._turn = threading.Semaphore(0)
        self._waiting = 0
        self._threads = 0
        self._leader = 0
        self._interrupts: dict[int, Interrupts] = {}
        """Of the threads that go on aside, by native id."""
        self._guard = threading.Lock()

    def __repr__(self) -> str:
        return f"<Relay [{self._threads} threads, {self._waiting} waiting]>"

    def run(self) -> None:
        """Let a first thread lead; never returns."""
        self.give_away(0)
        threading.Event().wait()

    def give_away(self, nice: int) -> int | None:
        """Let another thread lead from now on, and add to the nice value of the one that led: return its native id.

        None if there are too many already: it goes on leading. Only for the leader's thread, by itself or by who
        watches it.
        """
        with self._guard:
            if not self._waiting:
                if self._threads >= MAX_THREADS:
                    return None
                self._threads += 1
                self._waiting += 1
                threading.Thread(target=self._serve, name="relay", daemon=True).start()
        loser, self._leader = self._leader, 0
        self._turn.release()
        if loser:
            # After the new thread was started, which inherits the priority of the one that starts it.
            priority.lower(loser, nice)
            try:
                with self._guard:
                    self._interrupts[loser] = Interrupts(loser)
            except OSError as error:  # others get the processor later, but do
                log.warning("a slow statement cannot be interrupted: %s", error)
        return loser

    def _serve(self) -> None:
        self._turn.acquire()
        with self._guard:
            self._waiting -= 1
        self._leader = threading.get_native_id()
        try:
            self._lead()
        except BaseException:
            # The door of the room: state may be torn, so the process ends, and is restarted with its WAL recovered.
            log.exception("the database worker failed")
            os._exit(70)
        with self._guard:
            self._threads -= 1
            interrupts = self._interrupts.pop(threading.get_native_id(), None)
            if interrupts is not None:
                interrupts.stop()

    def adapt_interrupts(self) -> None:
        """Interrupt the threads that go on aside as often as others want their processors."""
        with self._guard:
            for interrupts in self._interrupts.values():
                interrupts.adapt()
