"""Where client commands find the operator token."""

import stat
from pathlib import Path

import pytest

from runtime.cli.tokens import find_token, record_node

API = "http://127.0.0.1:8081"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path / "state"), "HOME": str(tmp_path)}


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "operator-token").write_text("from-file\n")
    return folder


def test_the_option_wins(environ: dict[str, str], data_dir: Path) -> None:
    environ["BRRRD_OPERATOR_TOKEN"] = "from-environment"
    assert find_token(API, "given", data_dir, environ).value == "given"


def test_the_variable_wins_over_the_file(environ: dict[str, str], data_dir: Path) -> None:
    environ["BRRRD_OPERATOR_TOKEN"] = "from-environment"
    found = find_token(API, None, data_dir, environ)
    assert found.value == "from-environment"
    assert found.tried[-1] == "BRRRD_OPERATOR_TOKEN"


def test_the_recorded_node_is_found_from_any_folder(environ: dict[str, str], data_dir: Path) -> None:
    record_node("127.0.0.1:8081", data_dir, environ)
    assert find_token(API, None, None, environ).value == "from-file"


@pytest.mark.parametrize("listening", ["localhost:8081", "[::1]:8081", "0.0.0.0:8081", "[::]:8081"])
@pytest.mark.parametrize("asked", ["http://localhost:8081", "http://127.0.0.1:8081", "http://[::1]:8081"])
def test_every_name_of_this_machine_is_the_same_node(
    listening: str, asked: str, environ: dict[str, str], data_dir: Path
) -> None:
    record_node(listening, data_dir, environ)
    assert find_token(asked, None, None, environ).value == "from-file"


def test_nodes_on_other_ports_are_kept_apart(environ: dict[str, str], data_dir: Path) -> None:
    record_node("127.0.0.1:9081", data_dir, environ)
    assert find_token(API, None, None, environ).value is None
    assert find_token("http://127.0.0.1:9081", None, None, environ).value == "from-file"


def test_a_token_file_is_not_sent_to_another_machine(environ: dict[str, str], data_dir: Path) -> None:
    record_node("127.0.0.1:8081", data_dir, environ)
    found = find_token("http://node.example.com:8081", None, data_dir, environ)
    assert found.value is None
    assert "node.example.com is not this machine" in found.tried[-1]


def test_a_missing_token_says_what_was_tried(environ: dict[str, str], tmp_path: Path) -> None:
    found = find_token(API, None, tmp_path / "nowhere", environ)
    assert found.value is None
    assert found.tried == [
        "--token (not given)",
        "BRRRD_OPERATOR_TOKEN (not set)",
        f"{tmp_path}/nowhere/operator-token (cannot be read)",
    ]


def test_the_record_is_for_this_user_only(environ: dict[str, str], data_dir: Path, tmp_path: Path) -> None:
    record_node("127.0.0.1:8081", data_dir, environ)
    record = tmp_path / "state" / "brrrd" / "nodes" / "8081"
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    assert stat.S_IMODE(record.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("control", ["192.0.2.1:8081", "127.0.0.1:0"])
def test_a_node_that_cannot_be_found_again_is_not_recorded(
    control: str, environ: dict[str, str], data_dir: Path, tmp_path: Path
) -> None:
    record_node(control, data_dir, environ)
    assert not (tmp_path / "state").exists()
