"""What a process that the supervisor started does about its own life: it dies with the supervisor and drains for it.

Called first thing by each such process, and by isolate hosts, whose parent is the zygote. A leaf module, which loads no
asyncio: the zygote and database workers do without.
"""

import ctypes
import gc
import logging
import os
import resource
import signal

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int | None = None) -> None:
    """Have the kernel kill this process when its parent dies (`prctl(2)`).

    `parent`, where the caller knows it, is who that must be: if it has died already, this process exits now. Others
    read the end of their control channel then. Raises `OSError`.
    """
    if _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if parent is not None and os.getppid() != parent:
        os._exit(0)


def follow_supervisor() -> None:
    """Die with the supervisor, and leave Ctrl-C to it, which reaches every process of the terminal."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def end_on_sigterm() -> None:
    """End at once and cleanly on SIGTERM. For a main thread that gets back to Python soon, as an event loop's does."""
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))


def log_to_stderr() -> None:
    """Write what is logged from INFO on to standard error, which is the supervisor's."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")


def raise_open_files(most: int = resource.RLIM_INFINITY) -> int:
    """Raise this process's bound on open files to what it may have, and return that.

    No hard bound counts as one of `most`. The usual soft bound of 1,024 is soon reached, for connections are
    descriptors.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = most if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return files


def spare_the_collector() -> None:
    """Keep the garbage collector from walking again and again what exists now and lives as long as the process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)
