"""`brrrd dev` as a person uses it: edits, mistakes, a build tool that replaces the folder, Ctrl-C."""

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from runtime.cli.dev import app_name
from runtime.cli.dev_terminal import Terminal
from tests.node_server import BRRRD, eventually, free_port
from tests.runtime import mapped_app

COMMAND = "brrrd dev dist --database notes --env COLOR=red"
"""As the documentation shows it."""
WORKER = """\
export default {
  fetch: (request, env) => {
    console.log("asked for", new URL(request.url).pathname);
    return Response.json({ version: 1, database: env.DATABASE_URL, token: env.DATABASE_TOKEN, color: env.COLOR });
  },
};
"""


class Dev:
    """A running `brrrd dev` and what it has printed."""

    def __init__(self, project: Path, *options: str) -> None:
        self.project = project
        self.port, control = free_port(), free_port()
        self.output = project.parent / "output.txt"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("BRRRD_")}
        environment |= {"XDG_STATE_HOME": str(project.parent / "state")}
        addresses = ["--listen", f"127.0.0.1:{self.port}", "--control", f"127.0.0.1:{control}"]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [str(BRRRD), "dev", *options, *addresses],
                cwd=project,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def text(self) -> str:
        return self.output.read_text()

    def wait_for(self, pattern: str, count: int = 1) -> None:
        def printed() -> bool:
            assert self.process.poll() is None, self.text()
            return len(re.findall(pattern, self.text())) >= count

        eventually(60, printed, every=0.05)

    def get(self, path: str = "/") -> httpx.Response:
        headers = {"host": "shop.localhost"}
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", headers=headers, trust_env=False, timeout=30)

    def interrupt(self) -> int:
        """Ctrl-C: the terminal signals the whole process group."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(30)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    (folder / "dist").mkdir(parents=True)
    (folder / "dist" / "worker.js").write_text(WORKER)
    return folder


@pytest.fixture
def dev(project: Path) -> Iterator[Dev]:
    running = Dev(project, *shlex.split(COMMAND)[2:])
    try:
        running.wait_for("deployed bld-")
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()


def test_a_day_with_dev(dev: Dev) -> None:
    answer = dev.get().json()
    assert (answer["version"], answer["color"]) == (1, "red")
    sql = httpx.post(
        f"{answer['database']}/v2/pipeline",
        headers={"authorization": f"Bearer {answer['token']}"},
        json={"requests": [{"type": "execute", "stmt": {"sql": "SELECT 1"}}, {"type": "close"}]},
        trust_env=False,
        timeout=30,
    )
    assert sql.json()["results"][0]["type"] == "ok"
    dev.wait_for(r"info  \w{8} asked for /\n")

    worker = dev.project / "dist" / "worker.js"
    worker.write_text(WORKER.replace("version: 1", "version: 2"))
    dev.wait_for("deployed bld-", 2)
    assert dev.get().json()["version"] == 2

    worker.write_text(WORKER.replace("fetch:", "fetch"))
    dev.wait_for(r"refused  worker\.js:2:.*SyntaxError.*\n +\(the build before is still served\)")
    assert dev.get().json()["version"] == 2

    # As a build tool does that empties its folder first.
    (dev.project / "dist").rename(dev.project / "old")
    new = dev.project / "new"
    new.mkdir()
    (new / "worker.js").write_text(mapped_app.BUNDLE)
    (new / "worker.js.map").write_text(mapped_app.MAP)
    new.rename(dev.project / "dist")
    dev.wait_for("deployed bld-", 3)
    assert dev.get("/throw").status_code == 500
    dev.wait_for(re.escape(mapped_app.SOURCE))

    assert dev.interrupt() == 0
    assert "Traceback" not in dev.text()
    assert "logger" not in dev.text(), "a quiet end"
    assert (dev.project / ".brrrd" / ".gitignore").read_text() == "*\n"
    assert not (dev.project / "dist" / ".brrrd").exists()


def test_a_folder_that_is_no_package_yet_is_waited_for(project: Path) -> None:
    (project / "dist" / "worker.js").unlink()
    running = Dev(project, "dist")
    try:
        running.wait_for(r"refused  dist cannot be packed: .*\n +\(waiting for a change\)")
        (project / "dist" / "worker.js").write_text(WORKER)
        running.wait_for("deployed bld-")
        assert running.get().json()["version"] == 1
        assert running.interrupt() == 0
    finally:
        running.process.kill()
        running.process.wait()


def test_data_in_the_served_folder_is_no_change_and_not_packed(project: Path) -> None:
    running = Dev(project / "dist", "--app", "shop")
    try:
        running.wait_for("deployed bld-")
        assert running.get("/.brrrd/operator-token").json()["version"] == 1, "it is the app that answers"
        running.wait_for("asked for")
        packages = project / "dist" / ".brrrd" / "packages"
        assert not list(packages.rglob("operator-token"))
        assert running.interrupt() == 0
        assert running.text().count("deployed") == 1
    finally:
        running.process.kill()
        running.process.wait()


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("/home/me/shop", "shop"),
        ("/home/me/My Shop_2", "my-shop-2"),
        ("/home/me/shop/dist", "shop"),
        ("/home/me/shop/.output/server", "shop"),
        ("/home/me/shop/.svelte-kit/cloudflare", "shop"),
        ("/dist", "dist"),
        ("/", "app"),
        ("/home/me/€", "app"),
    ],
)
def test_an_app_is_named_after_its_project(folder: str, name: str) -> None:
    assert app_name(Path(folder)) == name


def test_what_an_app_logs_does_not_steer_the_terminal() -> None:
    stream = StringIO()
    terminal = Terminal(Console(file=stream, force_terminal=True, color_system="standard", soft_wrap=True))
    message = "x\x1b]0;title\x07 [bold]y[/bold]\n    at f (a.ts:1:2)"
    terminal.log({"time": 0, "level": "error", "request_id": "0123456789abcdef", "message": message})
    shown = stream.getvalue()
    assert "\x1b]" not in shown
    assert "\x07" not in shown
    assert "[bold]y[/bold]" in shown
    assert " 89abcdef " in shown.replace("\x1b[2m", " ")
    assert "789abcdef" not in shown
    assert "\x1b[31m" in shown, "errors are red"
