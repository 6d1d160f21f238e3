"""System calls that Python does not offer, as functions that raise `OSError`.

Numbers are those of x86-64 unless all machines share them (every call since 424 does).
"""

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

CLONE_NEWUSER = 0x10000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWNET = 0x40000000

_SECCOMP = 317
_SECCOMP_SET_MODE_FILTER = 1
_LANDLOCK_CREATE_RULESET = 444
_LANDLOCK_ADD_RULE = 445
_LANDLOCK_RESTRICT_SELF = 446
_LANDLOCK_CREATE_RULESET_VERSION = 1
_LANDLOCK_RULE_PATH_BENEATH = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


class _PathBeneath(ctypes.Structure):
    """`struct landlock_path_beneath_attr`."""

    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _syscall(what: str, number: int, *arguments: object) -> int:
    words = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *words), what)


def no_new_privileges() -> None:
    """From now on, no program that this process runs gets more rights than it has. Inherited, for good."""
    _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)")


def not_dumpable() -> None:
    """No core dump, and no other process of the same user may read or trace this one."""
    _checked(_libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl(PR_SET_DUMPABLE)")


def unshare(flags: int) -> None:
    """Leave the namespaces named by `CLONE_NEW…` flags for new ones."""
    _checked(_libc.unshare(flags), "unshare")


def map_own_user(uid: int, gid: int) -> None:
    """In a new user namespace, stay who one was outside. The groups cannot be changed there."""
    proc = Path("/proc/self")
    (proc / "setgroups").write_text("deny")
    (proc / "uid_map").write_text(f"{uid} {uid} 1")
    (proc / "gid_map").write_text(f"{gid} {gid} 1")


def drop_capabilities() -> None:
    """Give up every capability of this thread."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _checked(_libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")


def install_filter(program: bytes) -> None:
    """Let a classic BPF program decide about each system call of this thread and of those it starts."""
    argument = _Program(len(program) // 8, program)
    _syscall("seccomp", _SECCOMP, _SECCOMP_SET_MODE_FILTER, 0, ctypes.byref(argument))


def landlock_version() -> int:
    """Return the version of Landlock's interface, 0 if the kernel has none."""
    try:
        return _syscall("landlock", _LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_CREATE_RULESET_VERSION)
    except OSError:
        return 0


def landlock(ruleset: bytes, rules: Iterable[tuple[int, int]]) -> None:
    """Restrict this thread, and those it starts, by a `struct landlock_ruleset_attr`.

    A rule is the descriptor of a folder, and the access allowed beneath it.
    """
    descriptor = _syscall("landlock_create_ruleset", _LANDLOCK_CREATE_RULESET, ruleset, len(ruleset), 0)
    try:
        for folder, access in rules:
            rule = _PathBeneath(access, folder)
            _syscall(
                "landlock_add_rule",
                _LANDLOCK_ADD_RULE,
                descriptor,
                _LANDLOCK_RULE_PATH_BENEATH,
                ctypes.byref(rule),
                0,
            )
        _syscall("landlock_restrict_self", _LANDLOCK_RESTRICT_SELF, descriptor, 0)
    finally:
        os.close(descriptor)
