"""Threads that lead one after the other."""

import signal
import threading
from collections.abc import Callable
from queue import SimpleQueue

from dataplane.relay import Relay
from runtime import interrupts

WAIT_SECONDS = 10


class Work:
    """What the leading threads of a relay do: one of these after the other."""

    def __init__(self) -> None:
        self.pieces: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.relay = Relay(lambda: self.pieces.get()())
        threading.Thread(target=self.relay.run, daemon=True).start()


def interrupted(seconds: float) -> bool:
    """Whether the calling thread, which must block it, gets the signal within so long."""
    return signal.sigtimedwait({interrupts.SIGNAL}, seconds) is not None


def test_a_thread_is_interrupted_once_it_has_lost_the_lead() -> None:
    work, seen = Work(), SimpleQueue[bool]()

    def lose() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {interrupts.SIGNAL})
        seen.put(interrupted(0.02))
        work.relay.give_away(0)
        seen.put(interrupted(WAIT_SECONDS))

    work.pieces.put(lose)
    assert not seen.get(timeout=WAIT_SECONDS)
    assert seen.get(timeout=WAIT_SECONDS)


def test_the_next_thread_leads_without_interrupts() -> None:
    work, seen = Work(), SimpleQueue[bool]()

    def lead() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {interrupts.SIGNAL})
        seen.put(interrupted(0.05))

    def lose() -> None:
        work.relay.give_away(0)

    work.pieces.put(lose)
    work.pieces.put(lead)
    assert not seen.get(timeout=WAIT_SECONDS)
