"""The system calls that a host may make: an allow-list as a classic BPF program for the kernel's seccomp.

A host reads and writes sockets that it has, waits, allocates memory (executable memory for V8's compiler too), starts
threads, opens files to read, and connects Unix sockets. Anything else fails with EPERM; calls newer than the list fail
with ENOSYS, which makes the C library use the older one that is here.

It comes in two parts, since installing all of it takes half a millisecond: `program`, for a host that waits for its
app, also allows what it takes to lock oneself up for good (`ENTERING`), and `closing` forbids that. Both are pure;
`kernel.install_filter` installs them. Layout of `struct seccomp_data`: u32 number, u32 architecture, u64 instruction
pointer, u64 arguments[6].
"""

import errno
import struct
from typing import NamedTuple

ARCHITECTURE = 0xC000003E
"""AUDIT_ARCH_X86_64."""
ALLOW = 0x7FFF0000
KILL_PROCESS = 0x80000000
FAIL = 0x00050000
"""Plus an error number: the call returns it."""

_NUMBER = 0
_ARCHITECTURE = 4
_ARGUMENTS = 16
_FIRST_X32 = 0x40000000
_NEWER_THAN_LIST = 424
"""Since Linux 5.1 all machines number new calls alike from here on."""

_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_IF_EQUAL, _IF_AT_LEAST = 0x15, 0x35

ALLOWED: dict[str, int] = {
    # what the loop does all the time comes first: old kernels run the program for every call
    **{"epoll_wait": 232, "recvfrom": 45, "sendto": 44, "futex": 202, "read": 0, "write": 1, "clock_gettime": 228},
    # sockets that it has, or accepts
    **{"recvmsg": 47, "sendmsg": 46, "readv": 19, "writev": 20, "accept": 43, "accept4": 288, "connect": 42},
    **{"shutdown": 48, "getsockname": 51, "getpeername": 52, "setsockopt": 54, "getsockopt": 55},
    # waiting
    **{"epoll_pwait": 281, "epoll_ctl": 233, "epoll_create1": 291, "poll": 7, "ppoll": 271, "select": 23},
    **{"pselect6": 270, "nanosleep": 35, "clock_nanosleep": 230, "sched_yield": 24, "restart_syscall": 219},
    **{"setitimer": 38, "rt_sigtimedwait": 128},
    # memory
    **{"mmap": 9, "munmap": 11, "mprotect": 10, "mremap": 25, "madvise": 28, "brk": 12, "mincore": 27},
    **{"pkey_mprotect": 329, "pkey_alloc": 330, "pkey_free": 331, "membarrier": 324},
    # descriptors and files
    **{"close": 3, "fstat": 5, "newfstatat": 262, "statx": 332, "stat": 4, "lstat": 6, "lseek": 8, "pread64": 17},
    **{"fcntl": 72, "dup": 32, "getcwd": 79, "close_range": 436, "eventfd2": 290, "pipe2": 293},
    # itself
    **{"rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "sigaltstack": 131, "exit": 60},
    **{"exit_group": 231, "getpid": 39, "gettid": 186, "getppid": 110, "getuid": 102, "geteuid": 107, "getgid": 104},
    **{"getegid": 108, "getrusage": 98, "getrlimit": 97, "times": 100, "sysinfo": 99, "uname": 63, "getcpu": 309},
    **{"time": 201, "gettimeofday": 96, "clock_getres": 229, "getrandom": 318, "sched_getaffinity": 204},
    **{"set_robust_list": 273, "set_tid_address": 218, "rseq": 334},
}  # fmt: skip
"""Calls that are harmless with any arguments, given what the other layers keep out of reach."""

_AF_UNIX = 1
_FIONBIO, _FIOCLEX, _FIONCLEX, _FIONREAD, _TCGETS = 0x5421, 0x5451, 0x5450, 0x541B, 0x5401
_PR_SET_NAME, _PR_GET_NAME, _PR_SET_VMA = 15, 16, 0x53564D41
_WRITING = 0o3 | 0o100 | 0o1000 | 0o2000 | 0o20000000
"""O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND, O_TMPFILE's own bit."""
_THREAD = 0x00010000 | 0x00000800 | 0x00000100
"""CLONE_THREAD, CLONE_SIGHAND, CLONE_VM: a thread of this process."""
_ANY_NAMESPACE = 0x7E020080
"""The CLONE_NEW… flags."""


class Condition(NamedTuple):
    """The lower 32 bits of argument `argument` (or the `upper` ones), masked with `mask`, are one of `values`."""

    argument: int
    values: tuple[int, ...]
    mask: int = 0xFFFFFFFF
    upper: bool = False


class Rule(NamedTuple):
    """A call that is allowed if every condition holds."""

    number: int
    conditions: tuple[Condition, ...]


ENTERING: dict[str, int] = {
    **{"prlimit64": 302, "prctl": 157, "chdir": 80, "chmod": 90, "chown": 92},
    **{"setgroups": 116, "setresuid": 117, "setresgid": 119, "seccomp": 317},
    **{"landlock_create_ruleset": 444, "landlock_add_rule": 445, "landlock_restrict_self": 446},
}
"""Calls that are allowed until `closing` is installed, with any arguments."""

_OWN_PID = 0x5EED1D00
"""Stands for the process's own number."""
RULES: dict[str, Rule] = {
    "socket": Rule(41, (Condition(0, (_AF_UNIX,)),)),
    "socketpair": Rule(53, (Condition(0, (_AF_UNIX,)),)),
    "openat": Rule(257, (Condition(2, (0,), _WRITING),)),
    "open": Rule(2, (Condition(1, (0,), _WRITING),)),
    "ioctl": Rule(16, (Condition(1, (_FIONBIO, _FIOCLEX, _FIONCLEX, _FIONREAD, _TCGETS)),)),
    "prctl": Rule(157, (Condition(0, (_PR_SET_NAME, _PR_GET_NAME, _PR_SET_VMA)),)),
    "clone": Rule(56, (Condition(0, (_THREAD,), _THREAD | _ANY_NAMESPACE),)),
    "tgkill": Rule(234, (Condition(0, (_OWN_PID,)),)),
    "kill": Rule(62, (Condition(0, (_OWN_PID,)),)),
    # Reading a limit of its own; the new limit is a pointer, so both halves must be null.
    "prlimit64": Rule(302, (Condition(0, (0, _OWN_PID)), Condition(2, (0,)), Condition(2, (0,), upper=True))),
}
"""Calls that are allowed with certain arguments only."""


def for_process(filter_program: bytes, pid: int) -> bytes:
    """Return the filter that `program` made, for the process `pid`."""
    return filter_program.replace(struct.pack("<I", _OWN_PID), struct.pack("<I", pid))


def program() -> bytes:
    """Return the first part for any process as an array of `struct sock_filter`; `for_process` makes it one's own.

    In two steps because the first is slow in a process just forked, which copies every page that it touches.
    """
    code = [
        _statement(_LOAD, _ARCHITECTURE),
        _jump(_IF_EQUAL, ARCHITECTURE, 1, 0),
        _statement(_RETURN, KILL_PROCESS),
        _statement(_LOAD, _NUMBER),
        _jump(_IF_AT_LEAST, _FIRST_X32, 0, 1),
        _statement(_RETURN, KILL_PROCESS),
    ]
    for number in (*ALLOWED.values(), *ENTERING.values()):
        code += [_jump(_IF_EQUAL, number, 0, 1), _statement(_RETURN, ALLOW)]
    for name, rule in RULES.items():
        if name not in ENTERING:
            code += _ruled(rule)
    code += [
        _jump(_IF_AT_LEAST, _NEWER_THAN_LIST, 0, 1),
        _statement(_RETURN, FAIL | errno.ENOSYS),
        _statement(_RETURN, FAIL | errno.EPERM),
    ]
    return b"".join(code)


def closing() -> bytes:
    """Return the second part, as `program` does: of what both decide about a call, the kernel takes the stricter."""
    code = [_statement(_LOAD, _NUMBER)]
    for name, number in ENTERING.items():
        if name in RULES:
            code += _ruled(RULES[name])
        else:
            error = errno.ENOSYS if number >= _NEWER_THAN_LIST else errno.EPERM
            code += [_jump(_IF_EQUAL, number, 0, 1), _statement(_RETURN, FAIL | error)]
    return b"".join([*code, _statement(_RETURN, ALLOW)])


def _ruled(rule: Rule) -> list[bytes]:
    block = _conditional(rule)
    return [_jump(_IF_EQUAL, rule.number, 0, len(block)), *block]


def _conditional(rule: Rule) -> list[bytes]:
    """Return what follows once the number is that of `rule`; it ends in a decision either way."""
    block: list[bytes] = []
    for condition in rule.conditions:
        block.append(_statement(_LOAD, _ARGUMENTS + 8 * condition.argument + 4 * condition.upper))
        if condition.mask != 0xFFFFFFFF:
            block.append(_statement(_AND, condition.mask))
        last = len(condition.values) - 1
        for at, value in enumerate(condition.values):
            # A match goes behind the refusal that follows the last value.
            block.append(_jump(_IF_EQUAL, value, last - at + 1, 0))
        block.append(_statement(_RETURN, FAIL | errno.EPERM))
    block.append(_statement(_RETURN, ALLOW))
    return block


def _statement(code: int, value: int) -> bytes:
    return struct.pack("<HBBI", code, 0, 0, value)


def _jump(code: int, value: int, if_true: int, if_false: int) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)
