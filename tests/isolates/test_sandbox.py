"""The locks around a host: the filter as a table, and what a confined process can still do."""

import errno
import json
import os
import platform
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from isolates.sandbox import account, landlock, seccomp
from tests.isolates.driver import Host, Zygote

ROOT = Path(__file__).parents[2]
PID = 4321
ALLOWED = {"read the package", "connect to the egress", "start a thread", "make memory executable", "wait"}
EPERM = seccomp.FAIL | errno.EPERM
ENOSYS = seccomp.FAIL | errno.ENOSYS
PROGRAM, CLOSING = seccomp.program(), seccomp.closing()


def decide(number: int, *arguments: int, architecture: int = seccomp.ARCHITECTURE) -> int:
    """Run both parts of the filter as the kernel would, which takes the stricter verdict."""
    verdicts = [run(part, number, *arguments, architecture=architecture) for part in (PROGRAM, CLOSING)]
    return min(verdicts, key=[seccomp.KILL_PROCESS, ENOSYS, EPERM, seccomp.ALLOW].index)


def run(part: bytes, number: int, *arguments: int, architecture: int = seccomp.ARCHITECTURE) -> int:
    words = [number, architecture, 0, 0]
    for argument in [*arguments, *[0] * (6 - len(arguments))]:
        words += [argument & 0xFFFFFFFF, argument >> 32 & 0xFFFFFFFF]
    program = list(struct.iter_unpack("<HBBI", seccomp.for_process(part, PID)))
    at = accumulator = 0
    while True:
        code, if_true, if_false, value = program[at]
        at += 1
        if code == 0x20:
            accumulator = words[value // 4]
        elif code == 0x54:
            accumulator &= value
        elif code == 0x15:
            at += if_true if accumulator == value else if_false
        elif code == 0x35:
            at += if_true if accumulator >= value else if_false
        elif code == 0x06:
            return int(value)
        else:
            raise AssertionError(f"instruction {code:#x}")


@pytest.mark.parametrize("number", seccomp.ALLOWED.values(), ids=seccomp.ALLOWED.keys())
def test_harmless_calls_are_allowed(number: int) -> None:
    assert decide(number, 1, 2, 3) == seccomp.ALLOW


@pytest.mark.parametrize(
    ("number", "arguments", "verdict"),
    [
        (41, (socket.AF_UNIX, 1, 0), seccomp.ALLOW),
        (41, (socket.AF_INET, 1, 0), EPERM),
        (41, (socket.AF_INET6, 1, 0), EPERM),
        (41, (socket.AF_NETLINK, 3, 0), EPERM),
        (257, (5, 0, os.O_RDONLY | os.O_CLOEXEC), seccomp.ALLOW),
        (257, (5, 0, os.O_PATH | os.O_DIRECTORY), seccomp.ALLOW),
        (257, (5, 0, os.O_WRONLY), EPERM),
        (257, (5, 0, os.O_RDWR), EPERM),
        (257, (5, 0, os.O_RDONLY | os.O_CREAT), EPERM),
        (257, (5, 0, os.O_RDONLY | os.O_TRUNC), EPERM),
        (257, (5, 0, os.O_TMPFILE), EPERM),
        (56, (0x3D0F00,), seccomp.ALLOW),  # what glibc asks for a thread
        (56, (0x11,), EPERM),  # what it asks for a fork
        (56, (0x3D0F00 | 0x10000000,), EPERM),
        (62, (PID, 6), seccomp.ALLOW),
        (62, (PID + 1, 9), EPERM),
        (62, (0xFFFFFFFF, 9), EPERM),
        (234, (PID, PID, 6), seccomp.ALLOW),
        (234, (PID + 1, PID + 1, 9), EPERM),
        (302, (0, 7, 0), seccomp.ALLOW),
        (302, (0, 7, 0x7FFF12345678), EPERM),
        (302, (PID + 1, 7, 0), EPERM),
        (157, (15,), seccomp.ALLOW),
        (157, (1, 0), EPERM),
        (157, (4, 1), EPERM),
        (16, (0, 0x5412), EPERM),  # TIOCSTI
        (59, (), EPERM),  # execve
        (101, (), EPERM),  # ptrace
        (321, (), EPERM),  # bpf
        (435, (), ENOSYS),  # clone3
        (425, (), ENOSYS),  # io_uring_setup
        (0x40000000, (), seccomp.KILL_PROCESS),
    ],
)
def test_the_filter_looks_at_arguments(number: int, arguments: tuple[int, ...], verdict: int) -> None:
    assert decide(number, *arguments) == verdict


def test_calls_of_another_architecture_end_the_process() -> None:
    assert decide(1, architecture=0x40000003) == seccomp.KILL_PROCESS


def test_what_a_host_needs_to_lock_itself_up_is_allowed_until_it_is() -> None:
    for name, number in seccomp.ENTERING.items():
        assert run(PROGRAM, number, 1, 2, 3) == seccomp.ALLOW
        assert decide(number, 1, 2, 3) in (EPERM, ENOSYS), name


def test_the_second_part_forbids_nothing_else() -> None:
    for number in set(range(600)) - set(seccomp.ENTERING.values()):
        assert run(CLOSING, number, 1, 2, 3) == seccomp.ALLOW


def test_a_pointer_is_null_only_if_both_halves_are() -> None:
    assert decide(302, 0, 7, 0x700000000) == EPERM


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (1, [0x1FFF]), (2, [0x3FFF]), (3, [0x7FFF]), (4, [0x7FFF, 3]), (5, [0xFFFF, 3]), (6, [0xFFFF, 3, 3]),
        (9, [0xFFFF, 3, 3]),
    ],
)  # fmt: skip
def test_a_ruleset_handles_all_that_the_kernel_can(version: int, words: list[int]) -> None:
    assert landlock.ruleset(version) == struct.pack(f"<{len(words)}Q", *words)


def test_an_account_that_is_root_or_missing_is_refused_with_what_to_do() -> None:
    with pytest.raises(LookupError, match="isolate_user"):
        account.find("root")
    with pytest.raises(LookupError, match="there is no user"):
        account.find("no-such-user-here")


def confine(folder: Path, **options: Any) -> dict[str, Any]:
    """Run `confined.py` with a package and an egress socket in `folder`."""
    package, other, run = (folder / name for name in ("package", "other", "run"))
    for one in (package, other, run):
        one.mkdir()
    (package / "main.js").write_text("text")
    (other / "secret").write_text("secret")
    with socket.socket(socket.AF_UNIX) as egress:
        egress.bind(str(run / "egress.s"))
        egress.listen()
        if "user" in options:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, options["user"], options["group"])
        done = subprocess.run(
            [sys.executable, "-m", "tests.isolates.confined", str(package), str(run / "egress.s")],
            cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, **options,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the list of system calls is for x86-64")
@pytest.mark.parametrize("user", ["root", "another"])
def test_a_confined_process_can_do_its_work_and_nothing_else(user: str, tmp_path: Path) -> None:
    if os.geteuid() != 0 and user == "root":
        pytest.skip("only root can start a node as root")
    options: dict[str, Any] = {}
    folder = tmp_path
    if user == "another" and os.geteuid() == 0:
        readable = (ROOT, Path(sys.executable).resolve(), Path(sys.prefix))
        if not all(part.stat().st_mode & 0o001 for path in readable for part in (path, *path.parents)):
            pytest.skip("the checkout is closed to other users")
        options = {"user": 65534, "group": 65534, "extra_groups": []}
        for parent in [tmp_path, *tmp_path.parents][:3]:
            parent.chmod(parent.stat().st_mode | 0o011)
    told = confine(folder, **options)
    worked = {name for name, error in told["results"].items() if error is None}
    if not told["missing"]:
        assert worked == ALLOWED
    assert worked >= ALLOWED
    assert told["user"] != 0


def test_a_host_runs_without_rights(host: Host, zygote: Zygote) -> None:
    edge = host.serve("export default () => new Date(0).getTimezoneOffset() + ' ' + new Date(0).getHours();")
    assert edge.ask() == "0 0"
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{host.pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert status["NoNewPrivs"] == "1"
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    if not zygote.missing:
        assert status["Seccomp"] == "2"
        assert Path(f"/proc/{host.pid}/ns/net").stat().st_ino != Path("/proc/self/ns/net").stat().st_ino
        if os.geteuid() == 0:
            assert "0" not in status["Uid"].split()
    limits = Path(f"/proc/{host.pid}/limits").read_text()
    for name in ("Max core file size", "Max file size"):
        assert limits.split(name)[1].split()[:2] == ["0", "0"]
