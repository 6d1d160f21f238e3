"""The zygote's life and that of its hosts."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from isolates.zygote import PLATFORM, REHEARSAL
from tests.isolates.driver import STUB, Zygote, is_alive

HELLO = "export default () => 'hello';"


def wait_until_gone(*pids: int) -> None:
    deadline = time.monotonic() + 5
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline, f"{[pid for pid in pids if is_alive(pid)]} live on"
        time.sleep(0.01)


def test_hosts_die_with_a_killed_zygote(tmp_path: Path, snapshots: Path) -> None:
    with Zygote(tmp_path, snapshots) as zygote:
        hosts = [zygote.fork() for _ in range(3)]
        hosts[0].serve(HELLO)
        zygote.process.kill()
        wait_until_gone(*(host.pid for host in hosts))


def test_all_end_when_the_supervisor_is_gone(tmp_path: Path, snapshots: Path) -> None:
    with Zygote(tmp_path, snapshots) as zygote:
        hosts = [zygote.fork() for _ in range(3)]
        hosts[0].serve(HELLO)
        zygote.end.sock.close()
        wait_until_gone(zygote.process.pid, *(host.pid for host in hosts))


def test_interrupt_is_left_to_the_supervisor_and_termination_is_immediate(tmp_path: Path, snapshots: Path) -> None:
    with Zygote(tmp_path, snapshots) as zygote:
        host = zygote.fork()
        edge = host.serve(HELLO)
        os.kill(zygote.process.pid, signal.SIGINT)
        os.kill(host.pid, signal.SIGINT)
        assert edge.ask() == "hello"
        os.kill(host.pid, signal.SIGTERM)
        assert host.exit_status() == -signal.SIGTERM
        zygote.process.terminate()
        assert zygote.process.wait(5) == -signal.SIGTERM


def test_many_hosts_live_side_by_side(tmp_path: Path, snapshots: Path) -> None:
    with Zygote(tmp_path, snapshots) as zygote:
        hosts = [zygote.fork() for _ in range(20)]
        edges = [host.serve(f"export default () => {number};") for number, host in enumerate(hosts)]
        assert [edge.ask() for edge in edges] == [str(number) for number in range(20)]


def test_the_snapshot_is_made_once_and_used_again(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for _ in range(2):
        with Zygote(tmp_path, cache) as zygote:
            assert zygote.engine.startswith("V8 14.")
        made = list(cache.iterdir())
        assert len(made) == 1
        assert made[0].suffix == ".snapshot"


def test_a_platform_without_snapshot_is_evaluated_in_each_host(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    platform = tmp_path / "platform.js"
    # A WebAssembly instance cannot be serialised: V8 makes no snapshot of it.
    wasm = "new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array([0,97,115,109,1,0,0,0])));"
    platform.write_text(STUB.read_text() + f"\nglobalThis.held = {wasm}")
    with Zygote(tmp_path, tmp_path / "cache", platform=platform) as zygote:
        assert zygote.fork().serve(HELLO).ask() == "hello"
    assert "no start-up snapshot" in capfd.readouterr().err


REHEARSE = """
import sys
from pathlib import Path
from isolates.v8 import engine
from isolates.v8.isolate import Isolate
v8 = engine.start()
isolate = Isolate(v8, heap_mb=64, snapshot=None, on_heap_limit=lambda size: size, on_fatal=print)
for name in sys.argv[1:]:
    isolate.evaluate(Path(name).read_bytes(), name)
isolate.run_microtasks()
isolate.evaluate("rehearsal.then(() => { end = 'through' }, (error) => { end = error.stack }); var end = 'stuck'", "t")
isolate.run_microtasks()
print(isolate.text(isolate.evaluate("end", "t")), flush=True)
import os
os._exit(0)
"""


def test_the_rehearsal_goes_through() -> None:
    files = [str(PLATFORM), str(PLATFORM.with_name(REHEARSAL))]
    done = subprocess.run([sys.executable, "-c", REHEARSE, *files], capture_output=True, text=True, timeout=60)
    assert done.stdout == "through\n", done.stderr


def test_a_rehearsal_that_fails_costs_only_time(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    platform = tmp_path / "platform.js"
    platform.write_text(STUB.read_text())
    platform.with_name(REHEARSAL).write_text("throw new Error('fell over')")
    with Zygote(tmp_path, tmp_path / "cache", platform=platform) as zygote:
        assert zygote.fork().serve(HELLO).ask() == "hello"
    assert "could not rehearse" in capfd.readouterr().err


def test_a_missing_platform_is_one_clear_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(EOFError):
        Zygote(tmp_path, tmp_path, platform=tmp_path / "none.js")
    assert "none.js" in capfd.readouterr().err
