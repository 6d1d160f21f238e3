"""Client commands against a real node: what people see, and the ways a call can fail."""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from tests.node_server import BRRRD, Node, eventually, free_port, pack

HELLO = "export default { fetch: () => { console.log('hello from the log'); return new Response('hello') } }"


def brrrd(
    node: Node, *arguments: str, cwd: Path | None = None, answer: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """The command as on the machine of the node, without a token in its environment."""
    return subprocess.run(
        [str(BRRRD), *arguments],
        env=node.env | {"BRRRD_API": node.control_url} | variables,
        cwd=cwd,
        input=answer,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def app(node: Node, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("package")
    (folder / "worker.js").write_text(HELLO)
    (folder / "public").mkdir()
    (folder / "public" / "page.html").write_text("page")
    done = brrrd(node, "deploy", str(folder), "--app", "cli-hello")
    assert done.returncode == 0, done.stderr + node.log()
    assert f"http://cli-hello.localhost:{node.port}/" in done.stdout
    return "cli-hello"


def test_the_token_of_the_node_is_found_from_any_folder(node: Node, tmp_path: Path) -> None:
    done = brrrd(node, "status", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_node_that_cannot_start_does_not_take_the_place_of_the_running_one(node: Node, tmp_path: Path) -> None:
    control = f"127.0.0.1:{node.control_port}"
    second = brrrd(node, "serve", "--data-dir", str(tmp_path), "--listen", "127.0.0.1:0", "--control", control)
    assert second.returncode == 1
    assert f"port {node.control_port}" in second.stderr
    assert brrrd(node, "status", cwd=tmp_path).returncode == 0


def test_a_wrong_token_says_where_it_came_from(node: Node) -> None:
    done = brrrd(node, "apps", "list", BRRRD_OPERATOR_TOKEN="wrong")
    assert (done.returncode, done.stdout) == (1, "")
    assert "BRRRD_OPERATOR_TOKEN" in done.stderr
    assert "wrong" not in done.stderr


def test_without_a_token_it_says_what_was_tried(node: Node, tmp_path: Path) -> None:
    done = brrrd(node, "apps", "list", cwd=tmp_path, XDG_STATE_HOME=str(tmp_path))
    assert done.returncode == 1
    assert "no operator token was found. Tried: --token (not given); BRRRD_OPERATOR_TOKEN (not set)" in done.stderr


def test_an_app_is_deployed_and_listed(node: Node, app: str) -> None:
    assert node.get(app).text == "hello"
    listed = brrrd(node, "apps", "list").stdout
    assert f"{app}.localhost" in listed
    shown = json.loads(brrrd(node, "apps", "show", app, "--json").stdout)["app"]
    assert shown["name"] == app
    by_id = json.loads(brrrd(node, "apps", "show", "--app", shown["app_id"], "--json").stdout)["app"]
    assert by_id == shown


def test_a_manifest_from_elsewhere_is_taken(node: Node, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "main.mjs").write_text("export default () => new Response(typeof Buffer)")
    (tmp_path / "mine.json").write_text('{"main": "main.mjs", "node": true}')
    done = brrrd(node, "deploy", str(tmp_path / "out"), "--manifest", str(tmp_path / "mine.json"), "--app", "cli-mine")
    assert done.returncode == 0, done.stderr
    assert node.get("cli-mine").text == "function"


def test_a_package_file_is_deployed_as_it_is(node: Node, tmp_path: Path) -> None:
    package = tmp_path / "package.tar.zst"
    package.write_bytes(pack({"index.js": HELLO}))
    done = brrrd(node, "deploy", "--package", str(package), "--app", "cli-file", "--host", "cli-file.localhost")
    assert done.returncode == 0, done.stderr
    assert node.get("cli-file").text == "hello"


def test_a_refused_build_names_file_and_line(node: Node, tmp_path: Path) -> None:
    (tmp_path / "worker.js").write_text("export default {\n  fetch() { let 1 = 2; },\n};\n")
    done = brrrd(node, "deploy", str(tmp_path), "--app", "cli-broken")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("brrrd: worker.js:2:")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: None, "does not exist"),
        (lambda folder: folder.mkdir(), "has no files"),
        (lambda folder: (folder.mkdir(), (folder / "link").symlink_to("/etc/passwd")), "leads out of the folder"),
    ],
    ids=["missing", "empty", "link"],
)
def test_a_folder_that_cannot_be_packed_creates_no_app(node: Node, tmp_path: Path, make: object, said: str) -> None:
    assert callable(make)
    make(tmp_path / "build")
    done = brrrd(node, "deploy", str(tmp_path / "build"), "--app", "cli-never")
    assert done.returncode == 1
    assert said in done.stderr
    assert brrrd(node, "apps", "show", "cli-never").returncode == 1


def test_upload_shows_progress_on_a_terminal_only(node: Node, tmp_path: Path) -> None:
    (tmp_path / "index.js").write_text(HELLO)
    command = ["deploy", str(tmp_path), "--app", "cli-progress"]
    assert "Uploading" not in brrrd(node, *command).stderr
    status, shown = on_terminal([str(BRRRD), *command], node.env | {"BRRRD_API": node.control_url, "TERM": "xterm"})
    assert status == 0, shown
    assert "Uploading" in shown or "Starting" in shown


def on_terminal(command: Sequence[str], environment: dict[str, str]) -> tuple[int, str]:
    """Run with a pseudo-terminal as all three streams; exit status and everything it showed."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:
            # Linux answers EIO when the other side is closed.
            pass
        os.close(ours)
        return process.wait(timeout=60), shown.decode()


def test_variables_are_set_listed_and_removed(node: Node, app: str) -> None:
    assert brrrd(node, "apps", "env", "set", "--app", app, "A=1", "B=x=y").stdout == f"Set A, B of app {app}.\n"
    assert brrrd(node, "apps", "env", "list", "--app", app).stdout.split() == ["KEY", "VALUE", "A", "1", "B", "x=y"]
    assert brrrd(node, "apps", "env", "unset", "--app", app, "A", "B").returncode == 0
    assert brrrd(node, "apps", "env", "list", "--app", app).stdout == f"App {app} has no variables.\n"


def test_logs_are_printed_and_followed(node: Node, app: str, tmp_path: Path) -> None:
    followed = tmp_path / "followed"

    def arrived() -> bool:
        node.get(app)
        return "hello from the log" in followed.read_text()

    with (
        followed.open("w") as output,
        subprocess.Popen(
            [str(BRRRD), "logs", "--app", app, "--follow", "--json", "--limit", "0"],
            env=node.env | {"BRRRD_API": node.control_url},
            stdout=output,
        ) as follower,
    ):
        eventually(20, arrived, every=0.2)
        follower.terminate()
    assert {"time", "level", "message"} <= json.loads(followed.read_text().splitlines()[0]).keys()
    assert "hello from the log" in brrrd(node, "logs", "--app", app).stdout


def test_a_log_without_lines_says_so(node: Node) -> None:
    assert brrrd(node, "apps", "create", "cli-silent").returncode == 0
    printed = brrrd(node, "logs", "--app", "cli-silent")
    assert (printed.stdout, printed.stderr) == ("", "App cli-silent has logged nothing.\n")
    assert brrrd(node, "logs", "--app", "cli-silent", "--json").stderr == ""


def test_deleting_asks_first(node: Node) -> None:
    assert brrrd(node, "apps", "create", "cli-doomed").returncode == 0
    unknown = brrrd(node, "apps", "delete", "cli-unknown", answer="y\n")
    assert (unknown.returncode, "[y/N]" in unknown.stderr, "cli-unknown" in unknown.stderr) == (1, False, True)
    refused = brrrd(node, "apps", "delete", "cli-doomed", answer="n\n")
    assert refused.returncode == 1
    assert brrrd(node, "apps", "show", "cli-doomed").returncode == 0
    assert brrrd(node, "apps", "delete", "cli-doomed", answer="y\n").returncode == 0
    assert brrrd(node, "apps", "show", "cli-doomed").returncode == 1


def test_a_database_is_found_by_name_and_by_id(node: Node) -> None:
    created = json.loads(brrrd(node, "databases", "create", "cli-orders", "--json").stdout)
    by_name = json.loads(brrrd(node, "databases", "show", "cli-orders", "--json").stdout)
    by_id = json.loads(brrrd(node, "databases", "show", created["database_id"], "--json").stdout)
    assert by_name.keys() == by_id.keys()
    assert created["database_id"] in json.dumps(by_name)
    missing = brrrd(node, "databases", "show", "cli-nothing")
    assert missing.returncode == 1
    assert "brrrd databases create cli-nothing" in missing.stderr


def test_a_token_comes_as_lines_for_an_env_file(node: Node) -> None:
    assert brrrd(node, "databases", "create", "cli-env").returncode == 0
    again = brrrd(node, "databases", "create", "cli-env", "--env")
    assert again.returncode == 1
    assert "brrrd databases rotate cli-env" in again.stderr
    url, token = brrrd(node, "databases", "rotate", "cli-env", "--env").stdout.splitlines()
    assert url.startswith(f"DATABASE_URL={node.url}/v1/db-")
    answer = httpx.post(
        url.removeprefix("DATABASE_URL=") + "/v2/pipeline",
        headers={"authorization": f"Bearer {token.removeprefix('DATABASE_TOKEN=')}"},
        json={"requests": [{"type": "close"}]},
        trust_env=False,
    )
    assert answer.status_code == 200


def test_a_query_token_and_suspension(node: Node) -> None:
    brrrd(node, "databases", "create", "cli-paused")
    issued = json.loads(brrrd(node, "databases", "query-token", "cli-paused", "--ttl", "60", "--json").stdout)
    assert any(isinstance(value, str) and len(value) > 40 for value in issued.values())
    assert "suspended" in brrrd(node, "databases", "suspend", "cli-paused").stdout
    assert "suspended" in brrrd(node, "databases", "list").stdout
    assert "served again" in brrrd(node, "databases", "resume", "cli-paused").stdout
    assert brrrd(node, "databases", "usage", "cli-paused").returncode == 0


def test_limits_of_a_database_are_shown_set_and_taken_back(node: Node) -> None:
    brrrd(node, "databases", "create", "cli-bounded")
    shown = brrrd(node, "databases", "limits", "cli-bounded").stdout
    assert re.search(r"max_database_bytes +none +the node's", shown)
    arguments = ("max_database_bytes=5000000", "max_streams=20")
    shown = brrrd(node, "databases", "limits", "cli-bounded", *arguments).stdout
    assert re.search(r"max_database_bytes +5\.0 MB +its own", shown) and re.search(r"max_streams +20 +its own", shown)
    shown = brrrd(node, "databases", "show", "cli-bounded").stdout
    assert re.search(r"limits +max_database_bytes=5000000, max_streams=20", shown)
    shown = brrrd(node, "databases", "limits", "cli-bounded", "max_streams=default").stdout
    assert "its own" in shown and re.search(r"max_streams +1000 +the node's", shown)
    for wrong, said in (("max_streams=many", "whole number or default"), ("max_cats=default", "no limit max_cats")):
        refused = brrrd(node, "databases", "limits", "cli-bounded", wrong)
        assert refused.returncode == 2 and said in refused.stderr


def check_demo(command: list[str], folder: Path, *options: str, **variables: str) -> str:
    """Run the demo's check on ports of its own; what it printed."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("BRRRD_")}
    environment |= {"XDG_STATE_HOME": str(folder / "state"), **variables}
    addresses = ["--listen", f"127.0.0.1:{free_port()}", "--control", f"127.0.0.1:{free_port()}"]
    done = subprocess.run(
        [*command, "demo", "--check", *options, *addresses],
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_demo_works(tmp_path: Path) -> None:
    assert "The demo works" in check_demo([sys.executable, "-m", "runtime.cli"], tmp_path, TMPDIR=str(tmp_path))
    assert list(tmp_path.glob("brrrd-demo-*")) == []


def test_a_second_demo_in_the_same_folder_keeps_its_entries(tmp_path: Path) -> None:
    for _ in range(2):
        check_demo([str(BRRRD)], tmp_path, "--data-dir", str(tmp_path / "data"))
