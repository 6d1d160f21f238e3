"""The data folder: one holder, short socket paths, the token file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.config import ConfigError
from runtime.data_dir import LONGEST_SOCKET_NAME, DataDir
from runtime.supervisor.sockets import LONGEST_UNIX_PATH, listen_tcp, listen_unix


def test_a_second_node_is_refused_with_the_holder_s_pid(tmp_path: Path) -> None:
    code = f"from runtime.data_dir import DataDir; import time, pathlib; DataDir.open(pathlib.Path({str(tmp_path)!r}));"
    code += "print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(ConfigError, match=rf"in use by another node \(pid {holder.pid}\)"):
            DataDir.open(tmp_path)
        holder.kill()
    DataDir.open(tmp_path).close()


def test_the_token_is_made_once_and_private(tmp_path: Path) -> None:
    data_dir = DataDir.open(tmp_path)
    token = data_dir.operator_token("")
    assert data_dir.operator_token("") == token
    assert data_dir.operator_token("mine") == "mine"
    assert (tmp_path / "operator-token").stat().st_mode & 0o777 == 0o600
    data_dir.close()


@pytest.mark.parametrize("length", [10, 90])
def test_sockets_can_be_bound_whatever_the_length_of_the_path(tmp_path: Path, length: int) -> None:
    folder = tmp_path / ("x" * length)
    data_dir = DataDir.open(folder)
    path = data_dir.run / ("s" * LONGEST_SOCKET_NAME)
    assert len(str(path)) <= LONGEST_UNIX_PATH
    listen_unix(path).close()
    assert data_dir.run.stat().st_mode & 0o777 == 0o700
    data_dir.close()
    assert not path.exists()


def test_sockets_of_a_node_that_was_killed_are_swept(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 90)
    first = DataDir.open(folder)
    stale = first.run / "old.s"
    listen_unix(stale).close()
    os.close(first._lock)
    second = DataDir.open(folder)
    assert not stale.exists()
    second.close()


def test_a_port_in_use_is_named_even_by_a_socket_that_would_share_it() -> None:
    first = listen_tcp("127.0.0.1", 0, 2, "listen")
    port = first[0].getsockname()[1]
    assert {sock.getsockname()[1] for sock in first} == {port}
    with pytest.raises(ConfigError, match=rf"listen: port {port} on 127.0.0.1 is in use"):
        listen_tcp("127.0.0.1", port, 1, "listen")
    for sock in first:
        sock.close()
