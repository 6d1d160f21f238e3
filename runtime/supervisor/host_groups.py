"""A control group for each isolate host, where this node may make them: the kernel's own bound on what a host holds.

Made by the supervisor at its start, before it has children. Groups are below its own, in a folder `brrrd-PID` that it
keeps locked, so that the next supervisor knows what a dead one left behind. In version 2, processes are in leaves only:
this one then moves into a leaf of that folder, `node`, and all that it starts are there too. Must never touch a group
that is not its own, nor make groups where the owner of the hierarchy (systemd) did not hand one down.
"""

import asyncio
import errno
import fcntl
import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import msgspec

from isolates.messages import Limits
from runtime.supervisor.cgroups import (
    LEFTOVER,
    MOST_PROCESSES,
    Own,
    memory_bytes,
    memory_settings,
    missing_controllers,
    oom_kills,
    own_group,
)

CONTROLLERS = ("memory", "pids")
STANDBY_MB = Limits().memory_mb
"""Hosts that stand by are bounded as for this heap; `bound` writes anew if an app has another limit."""
REMOVE_ATTEMPTS = 20
REMOVE_SECONDS = 0.05
"""A group can be removed once the last of its processes is no more, which is a moment after its sockets closed."""
_DELEGATED = ("user.delegate", "trusted.delegate")
"""Where systemd notes that a group's subtree is left to the service (Delegate=, systemd.resource-control(5))."""

log = logging.getLogger("brrrd.hosts")


class Tree(msgspec.Struct):
    """The folder of this supervisor in one hierarchy; host groups are in it."""

    own: Own
    folder: Path
    lock: int
    controllers: tuple[str, ...]
    enabled: list[str] = []
    """Controllers that were not handed down to own group's children before."""
    in_leaf: bool = False


class HostGroups:
    """Groups of hosts by host id. Without the right to make any, everything here does nothing."""

    def __init__(self, trees: list[Tree], applied: list[str], missing: list[str]) -> None:
        self.applied = applied
        """For `brrrd status`, as with the sandbox of hosts."""
        self.missing = missing
        self._trees = trees
        self._memory = next((tree for tree in trees if "memory" in tree.controllers), None)
        # The kernel lets all processors pass through a quiet state before it moves a process: up to 20 ms.
        self._thread = ThreadPoolExecutor(1, "groups")

    def __repr__(self) -> str:
        return f"<HostGroups {[str(tree.folder) for tree in self._trees]}>"

    @classmethod
    def open(cls) -> "HostGroups":
        """Make this supervisor's folders, and remove those of dead ones. Says what could not be had, once."""
        own = {controller: _own(controller) for controller in CONTROLLERS}
        trees: list[Tree] = []
        missing = [f"cgroup for {name} (not mounted here)" for name, place in own.items() if place is None]
        for place in dict.fromkeys(place for place in own.values() if place is not None):
            controllers = tuple(name for name in CONTROLLERS if own[name] == place)
            try:
                trees.append(_make_tree(place, controllers))
            except OSError as error:
                reason = f"{place.folder}: {error.strerror or error}"
                missing += [f"cgroup for {name} ({reason})" for name in controllers]
        if missing:
            log.warning("isolate hosts run without: %s", "; ".join(missing))
        applied = [f"cgroup for {', '.join(tree.controllers)} (version {tree.own.version})" for tree in trees]
        return cls(trees, applied, missing)

    @property
    def available(self) -> bool:
        """Whether hosts get groups."""
        return bool(self._trees)

    def join(self, host_id: str, pid: int) -> "asyncio.Future[None]":
        """Make the group of a host and move the host there; the future may raise `OSError`."""
        return asyncio.get_running_loop().run_in_executor(self._thread, self._join, host_id, pid)

    def bound(self, host_id: str, memory_mb: int) -> None:
        """The host is given an app with this limit of its heap. Raises `OSError`."""
        if self._memory is not None and memory_mb != STANDBY_MB:
            self._write_memory(self._memory, host_id, memory_mb, memory_bytes(STANDBY_MB))

    def ran_out(self, host_id: str) -> bool:
        """Whether the kernel ended a host at the limit of its group."""
        if self._memory is None:
            return False
        file = "memory.events" if self._memory.own.version == 2 else "memory.oom_control"
        try:
            return oom_kills((self._memory.folder / host_id / file).read_text()) > 0
        except OSError:
            return False  # it ended before it had a group

    async def remove(self, host_id: str) -> None:
        """The host is no more. Hosts that are to join do not wait for the last processes of others to end."""
        loop = asyncio.get_running_loop()
        for folder in [tree.folder / host_id for tree in self._trees]:
            for _ in range(REMOVE_ATTEMPTS):
                if await loop.run_in_executor(self._thread, _remove_now, folder):
                    break
                await asyncio.sleep(REMOVE_SECONDS)
            else:
                log.warning("the group %s is still in use", folder)

    def close(self) -> None:
        """Remove all groups, and leave the hierarchy as it was found. Blocks for a moment."""
        self._thread.shutdown()
        for tree in self._trees:
            _take_down(tree)
        self._trees.clear()
        self._memory = None

    def _join(self, host_id: str, pid: int) -> None:
        for tree in self._trees:
            group = tree.folder / host_id
            group.mkdir()
            if "memory" in tree.controllers:
                self._write_memory(tree, host_id, STANDBY_MB, 0)
            if "pids" in tree.controllers:
                _write(group / "pids.max", str(MOST_PROCESSES))
            with suppress(ProcessLookupError):
                _write(group / "cgroup.procs", str(pid))

    @staticmethod
    def _write_memory(tree: Tree, host_id: str, memory_mb: int, before: int) -> None:
        for file, value in memory_settings(tree.own.version, memory_bytes(memory_mb), before):
            # Swap is counted only by kernels that were told to.
            with suppress(*((FileNotFoundError,) if "sw" in file else ())):
                _write(tree.folder / host_id / file, value)


def hand_down(own: Path, top: Path, controllers: tuple[str, ...]) -> tuple[list[str], bool]:
    """Version 2: have `own`, this process's group, hand `controllers` down to its child `top`, and that to its own.

    Returns those that it did not hand down before, and whether this process is in `top/node` now. Raises `OSError`,
    with everything as it was.
    """
    lacking = missing_controllers(controllers, (own / "cgroup.subtree_control").read_text())
    in_leaf = False
    try:
        if lacking:
            in_leaf = _switch_on(own, top, lacking)
        _switch(top, "+", controllers)
    except OSError:
        take_back(own, top, lacking, in_leaf)
        raise
    return lacking, in_leaf


def take_back(own: Path, top: Path, controllers: list[str], in_leaf: bool) -> None:
    """Undo `hand_down`, as far as others do not rely on it by now."""
    with suppress(OSError):
        _switch(top, "-", tuple((top / "cgroup.subtree_control").read_text().split()))
        _switch(own, "-", controllers)
    if in_leaf:
        with suppress(OSError):
            _write(own / "cgroup.procs", "0")
            (top / "node").rmdir()


def _switch_on(own: Path, top: Path, controllers: list[str]) -> bool:
    try:
        _switch(own, "+", controllers)
        return False
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
    # There are processes in it: this one, and perhaps others.
    leaf = top / "node"
    leaf.mkdir()
    _write(leaf / "cgroup.procs", "0")
    try:
        _switch(own, "+", controllers)
    except OSError as error:
        _write(own / "cgroup.procs", "0")
        leaf.rmdir()
        if error.errno == errno.EBUSY:
            raise OSError(errno.EBUSY, "other processes are in it: start the node as a service of its own") from None
        raise
    return True


def _switch(group: Path, sign: str, controllers: tuple[str, ...] | list[str]) -> None:
    if controllers:
        _write(group / "cgroup.subtree_control", " ".join(sign + name for name in controllers))


def _own(controller: str) -> Own | None:
    proc = Path("/proc/self")
    return own_group(controller, (proc / "cgroup").read_text(), (proc / "mountinfo").read_text())


def _make_tree(own: Own, controllers: tuple[str, ...]) -> Tree:
    """Raises `OSError`."""
    parent = Path(own.folder)
    if own.version == 2:
        _check_handed_down(own, controllers)
    _sweep(parent)
    folder, lock = _make_folder(parent)
    tree = Tree(own, folder, lock, controllers)
    if own.version == 2:
        try:
            tree.enabled, tree.in_leaf = hand_down(parent, folder, controllers)
        except OSError:
            folder.rmdir()
            os.close(lock)
            raise
    return tree


def _check_handed_down(own: Own, controllers: tuple[str, ...]) -> None:
    folder = Path(own.folder)
    if lacking := missing_controllers(controllers, (folder / "cgroup.controllers").read_text()):
        raise OSError(errno.ENOTSUP, f"it has no controller for {' and '.join(lacking)}")
    if Path("/run/systemd/system").is_dir() and not own.is_root and not any(_has(folder, name) for name in _DELEGATED):
        raise OSError(errno.EPERM, "systemd keeps it to itself: set Delegate=yes in the service")


def _has(folder: Path, attribute: str) -> bool:
    try:
        return os.getxattr(folder, attribute) == b"1"
    except OSError:
        return False


def _make_folder(parent: Path) -> tuple[Path, int]:
    """A new folder, and a descriptor that keeps it locked."""
    for _ in range(REMOVE_ATTEMPTS):
        folder = parent / f"brrrd-{os.getpid()}"
        try:
            folder.mkdir()
        except FileExistsError:
            # Of a supervisor with the same number, in a container for one, whose hosts are just ending.
            time.sleep(REMOVE_SECONDS)
            _sweep(parent)
            continue
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder, lock
        os.close(lock)  # somebody else's sweep was between the two
    raise OSError(errno.EBUSY, f"{folder.name} is still in use")


def _sweep(parent: Path) -> None:
    """Remove what dead supervisors left; what is still in use stays for the next time."""
    for folder in [entry for entry in parent.iterdir() if LEFTOVER.fullmatch(entry.name)]:
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for group in [entry for entry in folder.iterdir() if entry.is_dir()]:
                group.rmdir()
            folder.rmdir()
        except OSError:
            pass
        finally:
            os.close(lock)


def _take_down(tree: Tree) -> None:
    for group in [entry for entry in tree.folder.iterdir() if entry.is_dir() and entry.name != "node"]:
        _remove_group(group)
    take_back(Path(tree.own.folder), tree.folder, tree.enabled, tree.in_leaf)
    if not _remove_group(tree.folder):
        log.warning("the group %s is still in use", tree.folder)
    os.close(tree.lock)


def _remove_group(group: Path) -> bool:
    for _ in range(REMOVE_ATTEMPTS):
        if _remove_now(group):
            return True
        time.sleep(REMOVE_SECONDS)
    return False


def _remove_now(group: Path) -> bool:
    try:
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _write(file: Path, value: str) -> None:
    descriptor = os.open(file, os.O_WRONLY)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)
