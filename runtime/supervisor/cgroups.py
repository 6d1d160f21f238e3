"""Control groups as the kernel describes them: where this process's own group is, and what the files of a group say.

Pure functions over the text of `/proc/self/cgroup` and `/proc/self/mountinfo` (cgroups(7), proc(5)) and of a group's
files, for `host_groups.py`. Version 2 has one hierarchy for all controllers, version 1 one for each.
"""

import re
from typing import Literal

import msgspec

from isolates.messages import Retiring
from isolates.process import private_mb

OVERHEAD_MB = 64
"""What a host needs beyond what its app can allocate: its own pages, buffers of sockets, page tables."""
MOST_PROCESSES = 128
"""Threads of one host: some ten, and what V8 and cryptography start for work of their own."""
LEFTOVER = re.compile(r"brrrd-[0-9]+")
"""Names of the groups that supervisors make below their own."""

_ROOT = 3
_MOUNT_POINT = 4


class Own(msgspec.Struct, frozen=True):
    """The group that this process is in, for one controller."""

    version: Literal[1, 2]
    folder: str
    is_root: bool
    """Of the whole hierarchy, which is exempt from the rule that processes are in leaves only."""


def own_group(controller: str, cgroup: str, mountinfo: str) -> Own | None:
    """Where the group of this process is that `controller` looks at; None: it is not mounted here.

    With the controller in a version 1 hierarchy it is that one's, otherwise version 2's, whether or not that has it.
    """
    version: Literal[1, 2] = 2
    own = None
    for line in cgroup.splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            version, own = 1, path
            break
        if controllers == "":
            own = path
    if own is None:
        return None
    for line in mountinfo.splitlines():
        mount, _, what = line.partition(" - ")
        kind, _, options = what.split(" ", 2)
        if kind != ("cgroup" if version == 1 else "cgroup2"):
            continue
        if version == 1 and controller not in options.split(","):
            continue
        fields = mount.split(" ")
        root = _unescaped(fields[_ROOT])
        beneath = _beneath(own, root)
        if beneath is not None:
            return Own(version, _unescaped(fields[_MOUNT_POINT]) + beneath, own == "/" and root == "/")
    return None


def memory_bytes(memory_mb: int) -> int:
    """The limit of the group of a host whose app may have a heap of `memory_mb`.

    More than the process's own limit on private memory, beyond which an allocation fails and the app can go on: what
    gets here is what that one does not count, and is ended without a word.
    """
    return (private_mb(memory_mb) + OVERHEAD_MB) << 20


def out_of_memory(memory_mb: int) -> Retiring:
    """What a host would have said that the kernel ended at `memory_bytes`.

    The limit is named for the host: no setting is called so, since it follows from the app's `memory_mb`.
    """
    return Retiring(
        "host_memory",
        f"out of memory (limit host_memory = {memory_bytes(memory_mb) >> 20} MB, which follows from "
        f"memory_mb = {memory_mb}): the kernel ended the isolate's process",
    )


def memory_settings(version: int, limit: int, before: int) -> list[tuple[str, str]]:
    """Files to write, in order, for a limit of `limit` bytes without swap where it was `before` (0: none yet).

    Version 1 counts memory with swap together, if the kernel was started so, wants that never below the other.
    """
    if version == 2:
        return [("memory.max", str(limit)), ("memory.swap.max", "0")]
    files = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]
    return [(file, str(limit)) for file in (reversed(files) if before and limit > before else files)]


def oom_kills(text: str) -> int:
    """How many processes of a group the kernel ended for want of memory.

    From `memory.events` of version 2 or `memory.oom_control` of version 1.
    """
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill":
            return int(value)
    return 0


def missing_controllers(wanted: tuple[str, ...], available: str) -> list[str]:
    """Which controllers a group (its `cgroup.controllers`, or the `cgroup.subtree_control` of its parent) has not."""
    return [controller for controller in wanted if controller not in available.split()]


def _beneath(path: str, root: str) -> str | None:
    """What is left of a group's path where the group `root` is mounted; None: it is not beneath it."""
    if path.startswith("/.."):
        return None  # outside of this process's cgroup namespace
    if root == "/":
        return path.rstrip("/")
    if path == root or path.startswith(root + "/"):
        return path[len(root) :]
    return None


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
