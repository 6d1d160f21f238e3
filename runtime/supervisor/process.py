"""One child process: spawned with its control channel as descriptor 3, watched through a pidfd.

Called by `slot.py`. Children set PR_SET_PDEATHSIG themselves, so nothing runs between fork and exec here
(`posix_spawn`); descriptors of the supervisor are close-on-exec, and only the listed ones are handed down.
"""

import asyncio
import fcntl
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from runtime import channel
from runtime.supervisor.output import Output

_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")
_KEPT_PREFIXES = ("LC_", "PYTHON", "COVERAGE")


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What children inherit: an allow-list, so that no operator secret reaches a process that runs tenant code."""
    return {
        name: value for name, value in environ.items() if name in _KEPT_VARIABLES or name.startswith(_KEPT_PREFIXES)
    }


class Process:
    """A running child. `on_exit` is called once, with it and the exit status (negative: a signal)."""

    def __init__(self, name: str, pid: int) -> None:
        self.name = name
        self.pid = pid
        self.channel: channel.Channel[Any] | None = None
        self.on_beat: Callable[[], None] = lambda: None
        """Called when it answers `Channel.beat`."""
        self.sock: socket.socket | None = None
        self._pidfd = -1
        self._exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def __repr__(self) -> str:
        state = f"exited {self._exited.result()}" if self._exited.done() else "running"
        return f"<Process {self.name} pid={self.pid} {state}>"

    @classmethod
    async def spawn(
        cls,
        name: str,
        module: str,
        fds: Sequence[int],
        types: Any,
        on_message: Callable[[Any], None],
        on_exit: Callable[["Process", int], None],
        arguments: Sequence[str] = (),
    ) -> "Process":
        """Start `python -m module`; `fds` become descriptors 4, 5, … in the child. Raises `OSError`."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        said, says = os.pipe()
        try:
            pid = _spawn([module, *arguments], says, [theirs.fileno(), *fds], child_environment(os.environ))
        except BaseException:
            ours.close()
            os.close(said)
            raise
        finally:
            theirs.close()
            os.close(says)
        process = cls(name, pid)
        # A second descriptor for the same socket: asyncio owns the one it reads and writes, and the zygote's
        # descriptors have to be passed with `sendmsg`, which transports do not offer.
        process.sock = ours.dup()
        process.sock.setblocking(False)
        process._watch(on_exit)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: Output(name), os.fdopen(said, "rb", 0))
        process.channel = await channel.Channel.open(ours, types, on_message, lambda: None, process._beat)
        return process

    def _watch(self, on_exit: Callable[["Process", int], None]) -> None:
        loop = asyncio.get_running_loop()
        self._pidfd = os.pidfd_open(self.pid)

        def reap() -> None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid == 0:
                return
            loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._close()
            self._exited.set_result(os.waitstatus_to_exitcode(status))
            on_exit(self, self._exited.result())

        loop.add_reader(self._pidfd, reap)

    def _beat(self) -> None:
        self.on_beat()

    def _close(self) -> None:
        if self.channel is not None:
            self.channel.close()
        if self.sock is not None:
            self.sock.close()

    @property
    def running(self) -> bool:
        """Not reaped yet."""
        return not self._exited.done()

    def kill(self) -> None:
        """End it now. Safe at any time: the pid is not reused before it was reaped here."""
        if self.running:
            os.kill(self.pid, signal.SIGKILL)

    async def wait(self) -> int:
        """Exit status once it ended."""
        return await asyncio.shield(self._exited)


def _spawn(command: Sequence[str], output: int, fds: Sequence[int], environment: Mapping[str, str]) -> int:
    # Sources are first moved above every target, so that no dup2 overwrites a descriptor that is still to be copied.
    output, *moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 64 + len(fds)) for fd in (output, *fds)]
    actions: list[tuple[Any, ...]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_DUP2, output, 2),
    ]
    actions += [(os.POSIX_SPAWN_DUP2, fd, channel.FD + index) for index, fd in enumerate(moved)]
    try:
        return os.posix_spawn(
            sys.executable,
            # -P: the operator's working directory must not be able to shadow a room by a folder of the same name.
            [sys.executable, "-P", "-m", *command],
            environment,
            file_actions=actions,
            setpgroup=0,  # Ctrl-C in a terminal is for the supervisor alone
            setsigmask=[],
            setsigdef=[signal.SIGTERM, signal.SIGINT, signal.SIGPIPE, signal.SIGHUP, signal.SIGCHLD],
        )
    finally:
        for fd in (output, *moved):
            os.close(fd)
