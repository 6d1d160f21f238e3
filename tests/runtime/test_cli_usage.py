"""The command line without a node: usage errors, missing nodes, what start-up imports."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.config import Config


def brrrd(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("BRRRD_")}
    environment |= {"HOME": str(cwd), "XDG_STATE_HOME": str(cwd / "state"), "COLUMNS": "200"} | variables
    return subprocess.run(
        [sys.executable, "-m", "runtime.cli", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_without_arguments_it_lists_the_commands(tmp_path: Path) -> None:
    result = brrrd(cwd=tmp_path)
    for command in ("serve", "demo", "dev", "deploy", "apps", "domains", "databases", "logs", "status"):
        assert f"  {command} " in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["frobnicate"], "No such command"),
        (["deploy", "."], "--app"),
        (["dev", "--env", "KEY"], "'KEY' is not KEY=VALUE"),
        (["deploy", "--app", "a"], "name the folder or package"),
        (["apps", "show"], "name the app"),
        (["apps", "show", "a", "--app", "b"], "two different values for the app: a and b"),
        (["apps", "env", "set", "--app", "a", "KEY"], "'KEY' is not KEY=VALUE"),
        (["databases", "query-token", "a", "--ttl-seconds", "3601"], "3600"),
        (["serve", "--listen", "8080"], "expected host:port"),
        (["serve", "--workers", "-1"], "workers"),
    ],
)
def test_wrong_usage_is_status_2(arguments: list[str], said: str, tmp_path: Path) -> None:
    result = brrrd(*arguments, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert said in result.stderr


def test_an_unknown_key_of_the_configuration_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "brrrd.toml").write_text('lisen = "127.0.0.1:8080"\n')
    result = brrrd("serve", "--config", "brrrd.toml", cwd=tmp_path)
    assert result.returncode == 2
    assert "unknown key 'lisen'" in result.stderr


def test_no_node_says_how_to_start_one(closed_port: int, tmp_path: Path) -> None:
    result = brrrd("apps", "list", "--api", f"http://127.0.0.1:{closed_port}", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert f"no node answers at http://127.0.0.1:{closed_port}" in result.stderr
    assert "brrrd serve" in result.stderr


def test_the_api_address_comes_from_the_environment(closed_port: int, tmp_path: Path) -> None:
    result = brrrd("status", cwd=tmp_path, BRRRD_API=f"http://127.0.0.1:{closed_port}")
    assert f"http://127.0.0.1:{closed_port}" in result.stderr


def test_an_api_address_that_is_none_is_refused(tmp_path: Path) -> None:
    result = brrrd("status", "--api", "localhost:8081", cwd=tmp_path)
    assert result.returncode == 1
    assert "localhost:8081 is no API address" in result.stderr


def test_serve_has_an_option_for_every_field_but_the_secret_one(tmp_path: Path) -> None:
    shown = brrrd("serve", "--help", cwd=tmp_path).stdout
    for field in Config.__struct_fields__:
        assert (f"--{field.replace('_', '-')}" in shown) == (field != "operator_token")


def test_the_demo_says_which_port_is_taken_and_what_to_do(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        result = brrrd("demo", "--listen", address, cwd=tmp_path)
    assert result.returncode == 1
    assert f"cannot listen on {address}" in result.stderr
    assert "--listen" in result.stderr


def test_help_imports_no_heavy_library(tmp_path: Path) -> None:
    code = (
        "import sys, json; sys.argv = ['brrrd', '--help']\n"
        "from runtime.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    loaded = set(json.loads(result.stdout.splitlines()[-1]))
    heavy = {"httpx", "rich", "asyncio", "starlette", "hypercorn", "uvicorn", "sqlite3", "py_mini_racer", "artifacts"}
    assert loaded & heavy == set()
