"""What a process behind the sandbox can still do: `python -m tests.isolates.confined PACKAGE EGRESS_SOCKET`.

Enters the sandbox as a host does, attempts everything that a host must not do and some of what it must, and prints the
outcome of each attempt as JSON: null if it worked, else the name of the error.
"""

import ctypes
import errno
import json
import mmap
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from isolates.package import Package
from isolates.sandbox import layers

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def call(number: int, *arguments: int) -> Callable[[], None]:
    """An attempt at a bare system call of x86-64; for those with pointers, null ones do."""

    def attempt() -> None:
        if _libc.syscall(ctypes.c_long(number), *(ctypes.c_long(one) for one in arguments)) == -1:
            raise OSError(ctypes.get_errno(), "")

    return attempt


def executable_memory() -> None:
    with mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE) as memory:
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        if _libc.mprotect(ctypes.c_void_p(address), 4096, 5):
            raise OSError(ctypes.get_errno(), "")


def thread() -> None:
    done = threading.Event()
    one = threading.Thread(target=done.set)
    one.start()
    one.join()
    assert done.is_set()


def connect(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)


def attempts(package: Package, egress: str, supervisor: int) -> dict[str, Callable[[], object]]:
    root = Path(package.directory)
    return {
        "read the package": lambda: package.read("main.js"),
        "connect to the egress": lambda: connect(egress),
        "start a thread": thread,
        "make memory executable": executable_memory,
        "wait": lambda: time.sleep(0.001),
        "read /etc/passwd": lambda: Path("/etc/passwd").read_bytes(),
        "read another folder": lambda: (root.parent / "other" / "secret").read_bytes(),
        "list the root": lambda: list(Path("/").iterdir()),
        "list /proc": lambda: list(Path("/proc").iterdir()),
        "read its own memory file": lambda: Path("/proc/self/mem").read_bytes(),
        "leave the package": lambda: os.open("../other/secret", os.O_RDONLY, dir_fd=package.descriptor),
        "write into the package": lambda: os.open("main.js", os.O_WRONLY, dir_fd=package.descriptor),
        "create in the package": lambda: os.open("new", os.O_RDWR | os.O_CREAT, dir_fd=package.descriptor),
        "create in /tmp": lambda: Path("/tmp/confined-was-here").write_text(""),
        "remove": lambda: (root / "main.js").unlink(),
        "make a folder": lambda: (root / "folder").mkdir(),
        "connect over IPv4": lambda: socket.socket().connect(("127.0.0.1", 80)),
        "IPv6 socket": lambda: socket.socket(socket.AF_INET6),
        "netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
        "packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
        "vsock socket": lambda: socket.socket(socket.AF_VSOCK),
        "listen": lambda: socket.socket(socket.AF_UNIX).listen(),
        "run a program": lambda: subprocess.run(["/bin/true"], check=True),
        "fork": os.fork,
        "vfork": call(58),
        "clone3": call(435, 0, 0),
        "signal the supervisor": lambda: os.kill(supervisor, signal.SIGCONT),
        "signal everybody": lambda: os.kill(-1, 0),
        "ptrace": call(101, 16, supervisor),
        "process_vm_readv": call(310, supervisor, 0, 0, 0, 0, 0),
        "mount": call(165),
        "unshare": call(272, 0x10000000),
        "setns": call(308, 0, 0),
        "chroot": lambda: os.chroot("/"),
        "become root": lambda: os.setuid(0),
        "bpf": call(321, 0, 0, 0),
        "perf_event_open": call(298, 0, 0, 0, 0, 0),
        "userfaultfd": call(323, 0),
        "io_uring_setup": call(425, 1, 0),
        "keyctl": call(250, 0, 0),
        "add_key": call(248, 0, 0, 0, 0, 0),
        "memfd_create": call(319, 0, 0),
        "init_module": call(175, 0, 0, 0),
        "reboot": call(169, 0, 0, 0),
        "personality": call(135, 0xFFFFFFFF),
        "change its limits": call(302, 0, 7, 0x1000, 0),
        "drop its death signal": call(157, 1, 0),
        "make itself dumpable": call(157, 4, 1),
        "terminal control": call(16, 0, 0x5412, 0),
    }  # fmt: skip


def outcome(attempt: Callable[[], object]) -> str | None:
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, repr(error))
    return None


def main() -> None:
    directory, egress = sys.argv[1:]
    supervisor = os.getppid()
    sandbox, containment = layers.prepare("nobody")
    sandbox.approach()
    package = Package(directory)
    [egress] = sandbox.enter(package.descriptor, [egress], parent=supervisor)
    results = {name: outcome(attempt) for name, attempt in attempts(package, egress, supervisor).items()}
    print(json.dumps({"missing": containment.missing, "user": os.geteuid(), "results": results}))


if __name__ == "__main__":
    main()
