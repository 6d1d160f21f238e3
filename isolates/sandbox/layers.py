"""Which of the kernel's locks there are on this machine, and putting a host behind all of them.

The zygote calls `prepare` once: it moves into a network namespace with nothing in it, which its hosts inherit for
free, and learns by trying, in a child, which other locks hold. A host then calls `approach`, which does what can be
done before its app is known, and `enter`. What `prepare` found to hold must hold in every host: if it fails there, the
host does not serve. What is missing is told to the operator, once.
"""

import os
import platform
import resource
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from isolates.sandbox import account, kernel, landlock, seccomp
from isolates.sandbox.account import Account
from runtime.child import die_with_parent

OPEN_FILES = 1024
"""Descriptors of one host: a connection per edge worker and service, the package, and spare."""
PROCESSES = 4096
"""Processes and threads of the account that hosts share; a host may start threads only."""


class Containment(msgspec.Struct, frozen=True):
    """What hosts are held by, in words for an operator."""

    applied: list[str]
    missing: list[str]
    """What could not be had, each with the reason."""


@dataclass(frozen=True)
class Sandbox:
    """The locks that this machine has; see the module."""

    account: Account | None = None
    landlock: int = 0
    """Version of the interface; 0: do without."""
    filter: bytes = b""
    closing: bytes = b""
    """Programs for seccomp, see `seccomp.for_process`; empty: do without."""

    def approach(self) -> None:
        """Give up all that is not needed to `enter`. Called on the only thread. Raises `OSError`."""
        bound_resources(own_account=self.account is not None)
        if self.account is None:
            kernel.drop_capabilities()
        kernel.no_new_privileges()
        if self.filter:
            kernel.install_filter(seccomp.for_process(self.filter, os.getpid()))

    def enter(self, package: int, sockets: list[str], *, parent: int) -> list[str]:
        """Lock this process up, with `package` (a folder's descriptor) as all of the file system that it can open.

        Called after `approach` on the only thread; threads started later are held too. Returns the paths under which
        the Unix sockets of services, which are in one folder, are reached from now on. The process still dies with its
        `parent`. Raises `OSError`.
        """
        if self.account is not None:
            folder = os.path.dirname(sockets[0])  # noqa: PTH120 as in `account`
            sockets = [os.path.basename(path) for path in sockets]  # noqa: PTH119
            # The folders above are closed to the account: relative paths from here are all that it can look up.
            os.chdir(folder)
            for path in sockets:
                account.lend(path, self.account)
            account.become(self.account)
        kernel.not_dumpable()
        die_with_parent(parent)  # again: the kernel forgets it when credentials change
        if self.landlock:
            landlock.restrict(self.landlock, package)
        if self.closing:
            kernel.install_filter(seccomp.for_process(self.closing, os.getpid()))
        return sockets


def bound_resources(*, own_account: bool) -> None:
    """Set the resource limits that need nothing of the kernel but that it is Linux."""
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, 0)
    _lower(resource.RLIMIT_NOFILE, OPEN_FILES)
    if own_account:
        # Counted over all processes of a user: with the operator's own it would be theirs that run out.
        _lower(resource.RLIMIT_NPROC, PROCESSES)


def _lower(which: int, bound: int) -> None:
    _, hard = resource.getrlimit(which)
    bound = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
    resource.setrlimit(which, (bound, bound))


def prepare(user: str) -> tuple[Sandbox, Containment]:
    """Leave the network, find out what else there is, and return it. `user` is whom hosts become if this is root.

    Changes the calling process, which must have one thread, for good.
    """
    applied: list[str] = []
    missing: list[str] = []
    _leave_network(applied, missing)
    found = _account(user, applied, missing) if os.geteuid() == 0 else None
    version = _landlock(applied, missing)
    sandbox = Sandbox(found, version, *_seccomp(applied, missing))
    return sandbox, Containment([*applied, "no new privileges", "resource limits"], missing)


def _leave_network(applied: list[str], missing: list[str]) -> None:
    namespaces = kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
    try:
        if os.geteuid() == 0:
            kernel.unshare(namespaces)
        else:
            uid, gid = os.geteuid(), os.getegid()
            kernel.unshare(namespaces | kernel.CLONE_NEWUSER)
            kernel.map_own_user(uid, gid)
    except OSError as error:
        missing.append(f"network namespace ({error.strerror})")
    else:
        applied.append("network namespace")


def _account(user: str, applied: list[str], missing: list[str]) -> Account | None:
    try:
        found = account.find(user)
        _try(lambda: account.become(found))
    except (LookupError, OSError) as error:
        missing.append(f"unprivileged user ({error})")
        return None
    applied.append(f"user {found.name}")
    return found


def _landlock(applied: list[str], missing: list[str]) -> int:
    version = kernel.landlock_version()
    if not version:
        missing.append("Landlock (not in this kernel, or not enabled): hosts can open any file that their user may")
        return 0

    def attempt() -> None:
        kernel.no_new_privileges()
        folder = os.open("/usr", os.O_PATH | os.O_DIRECTORY)
        landlock.restrict(version, folder)
        _must_fail(lambda: os.close(os.open("/etc/passwd", os.O_RDONLY)))

    try:
        _try(attempt)
    except OSError as error:
        missing.append(f"Landlock ({error}): hosts can open any file that their user may")
        return 0
    applied.append(f"Landlock {version}")
    return version


def _seccomp(applied: list[str], missing: list[str]) -> tuple[bytes, bytes]:
    if platform.machine() != "x86_64":
        missing.append(f"seccomp (no list of system calls for {platform.machine()})")
        return b"", b""
    programs = seccomp.program(), seccomp.closing()

    def attempt() -> None:
        kernel.no_new_privileges()
        for program in programs:
            kernel.install_filter(seccomp.for_process(program, os.getpid()))
        _must_fail(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close())

    try:
        _try(attempt)
    except OSError as error:
        missing.append(f"seccomp ({error})")
        return b"", b""
    applied.append("seccomp")
    return programs


def _must_fail(act: Callable[[], None]) -> None:
    with suppress(PermissionError):
        act()
        raise OSError("it does not hold")


def _try(attempt: Callable[[], None]) -> None:
    """Run `attempt` in a child. Raises `OSError` with what went wrong there."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status, word = 1, ""
        try:
            attempt()
            status = 0
        except BaseException as error:  # the child's door
            word = error.strerror or str(error) if isinstance(error, OSError) else repr(error)
        finally:
            os.write(writer, word.encode())
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        word = pipe.read().decode("utf-8", "replace")
    _, status = os.waitpid(child, 0)
    if status:
        raise OSError(word or f"the trial ended with {os.waitstatus_to_exitcode(status)}")
