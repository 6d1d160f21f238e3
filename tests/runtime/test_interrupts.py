"""Interrupts of one thread."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from runtime.interrupts import SIGNAL, Interrupts, interrupted
from tests.node_server import eventually


def test_the_thread_gets_the_signal_again_and_again_until_it_is_stopped() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {SIGNAL})
    try:
        interrupts = Interrupts(threading.get_native_id())
        for _ in range(3):
            assert signal.sigtimedwait({SIGNAL}, 10) is not None
        interrupts.stop()
        signal.sigtimedwait({SIGNAL}, 0)  # one that came before it was
        assert signal.sigtimedwait({SIGNAL}, 0.05) is None
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {SIGNAL})


def test_other_threads_do_not_get_it() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {SIGNAL})
    done, thread = threading.Event(), threading.Thread(target=lambda: done.wait(10))
    thread.start()
    try:
        assert thread.native_id is not None
        interrupts = Interrupts(thread.native_id)
        assert signal.sigtimedwait({SIGNAL}, 0.05) is None
        interrupts.stop()
    finally:
        done.set()
        thread.join()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {SIGNAL})


def interrupts_in(seconds: float) -> int:
    """How many the calling thread, which blocks the signal, gets while it computes for so long."""
    count, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        count += signal.sigtimedwait({SIGNAL}, 0) is not None
    return count


def becomes_seldom(interrupts: Interrupts) -> bool:
    interrupts_in(0.05)
    interrupts.adapt()
    return not interrupts.often


def test_they_come_seldom_while_nobody_else_wants_the_processor_and_often_again_when_somebody_does() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {SIGNAL})
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    competitor = subprocess.Popen([sys.executable, "-c", "while True: pass"], stdout=subprocess.DEVNULL)
    try:
        interrupts = Interrupts(threading.get_native_id())
        interrupts_in(0.2)
        interrupts.adapt()
        assert interrupts.often
        competitor.send_signal(signal.SIGSTOP)
        # Others of the machine may want the same processor, but not for ever.
        eventually(10, lambda: becomes_seldom(interrupts))
        alone = interrupts_in(0.2)
        competitor.send_signal(signal.SIGCONT)
        interrupts_in(0.2)
        interrupts.adapt()
        assert interrupts.often
        assert interrupts_in(1.0) > alone  # of half a processor
        interrupts.stop()
    finally:
        competitor.kill()
        competitor.wait()
        os.sched_setaffinity(0, cores)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {SIGNAL})


def test_a_thread_that_is_none_is_an_error() -> None:
    with pytest.raises(OSError):
        Interrupts(1)  # a thread of another process, if of any


def test_the_calling_thread_is_interrupted_for_so_long() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {SIGNAL})
    try:
        with interrupted():
            assert signal.sigtimedwait({SIGNAL}, 10) is not None
        signal.sigtimedwait({SIGNAL}, 0)  # one that came before the end
        assert signal.sigtimedwait({SIGNAL}, 0.05) is None
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {SIGNAL})
