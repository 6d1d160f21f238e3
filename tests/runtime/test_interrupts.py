"""Interrupts of one thread."""

import signal
import threading

import pytest

from runtime.interrupts import SIGNAL, Interrupts, interrupted


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
