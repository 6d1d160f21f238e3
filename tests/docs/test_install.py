"""The two set-up commands of the README's first screen."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
RUN = "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/brrrd demo"
TEST = "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/python -m tests"


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.timeout(600)
def test_the_first_command_installs_and_runs_the_demo(tmp_path: Path) -> None:
    """Only `--check` is added, so that the demo ends; the installation is not the editable one that tests run in."""
    checkout = tmp_path / "brrrd"
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in files.split("\0"):
        if name and (ROOT / name).is_file():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, checkout / name)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("BRRRD_", "VIRTUAL_ENV", "PYTHON"))}
    result = subprocess.run(
        ["bash", "-c", f"{RUN} --check"],
        cwd=checkout,
        env=kept
        | {
            # The interpreter of this test run, in case the machine's own python3 is an older one.
            "PATH": f"{sys.base_prefix}/bin{os.pathsep}{os.environ['PATH']}",
            "XDG_STATE_HOME": str(tmp_path / "state"),
            "BRRRD_LISTEN": free_address(),
            "BRRRD_CONTROL": free_address(),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        },
        capture_output=True,
        text=True,
        timeout=580,
        stdin=subprocess.DEVNULL,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-6000:]
    assert "The demo works" in result.stdout


def test_the_second_command_is_what_ci_runs() -> None:
    """It runs this test, so it cannot be run here."""
    script = (ROOT / ".ci" / "run").read_text()
    make, install, run = TEST.split(" && ")
    assert make.removeprefix("python3 ") in script
    assert install.removeprefix(".venv/bin/pip install -e ") in script
    assert run in script
