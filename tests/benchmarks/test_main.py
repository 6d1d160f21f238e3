"""`python -m benchmarks` as a process."""

import os
import subprocess
import sys
from pathlib import Path

from tests.node_server import eventually

ROOT = Path(__file__).parents[2]


def mentioning(path: Path) -> list[str]:
    """Command lines of the processes that have `path` in theirs."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(path) in command:
            found.append(command)
    return found


def test_a_benchmark_that_is_terminated_leaves_no_node(tmp_path: Path) -> None:
    benchmark = subprocess.Popen(
        [sys.executable, "-m", "benchmarks", "cold"],
        cwd=ROOT, env=dict(os.environ, TMPDIR=str(tmp_path)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        eventually(30, lambda: bool(mentioning(tmp_path)))
        benchmark.terminate()
        assert benchmark.wait(30) != 0
        assert mentioning(tmp_path) == []
    finally:
        benchmark.kill()
        benchmark.wait()
