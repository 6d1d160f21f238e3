"""One shell, as a reader of the documentation has it, in which a document's commands run one after the other.

The addresses that the documents use are replaced by free ports, so that a node on the machine is not in the way.
Everything else is as it is written.
"""

import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

from tests.docs.blocks import Block, commands, matches
from tests.node import NODE

COMMAND_SECONDS = 90
STOP_SECONDS = 40
MARK = "\x1e"


class DocumentError(AssertionError):
    """A document promises something that is not so."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Session:
    """A bash with the package's commands on PATH, in an empty folder. Use as a context manager."""

    def __init__(self, document: Path, folder: Path) -> None:
        self._document = document
        self._folder = folder
        self._ports = {"8080": str(free_port()), "8081": str(free_port())}
        self._background: list[tuple[int, str]] = []
        (folder / "npm").mkdir()
        npm = folder / "npm" / "npm"
        npm.write_text(f'#!/bin/sh\nexec "{NODE}" "{NODE.parent.parent}/lib/node_modules/npm/bin/npm-cli.js" "$@"\n')
        npm.chmod(0o755)
        work = folder / "work"
        work.mkdir()
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=work,
            env=self._environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("BRRRD_")}
        path = [str(Path(sys.executable).parent), str(self._folder / "npm"), str(NODE.parent), os.environ["PATH"]]
        return kept | {
            "PATH": os.pathsep.join(path),
            "XDG_STATE_HOME": str(self._folder / "state"),
            "BRRRD_LISTEN": f"127.0.0.1:{self._ports['8080']}",
            "BRRRD_CONTROL": f"127.0.0.1:{self._ports['8081']}",
            "BRRRD_API": f"http://127.0.0.1:{self._ports['8081']}",
            "npm_config_update_notifier": "false",
            "npm_config_fund": "false",
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._stop_background()
        finally:
            os.killpg(self._shell.pid, signal.SIGKILL)
            self._shell.communicate()

    def run(self, block: Block) -> None:
        """Do what a block says. Raises `DocumentError`."""
        if path := block.attributes.get("file"):
            file = self._folder / "work" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(self._here(block.text))
        elif block.language == "console":
            for command in commands(block):
                if "background" in block.attributes:
                    self._start(command.line, command.text)
                    continue
                status, printed = self._execute(self._here(command.text))
                place = f"{self._document.name}:{command.line}: $ {command.text}\n"
                if status != 0:
                    raise DocumentError(f"{place}ended with status {status}:\n{printed}")
                if command.output is not None and not matches(self._here(command.output), printed):
                    raise DocumentError(f"{place}shows\n{command.output}\nbut printed\n{printed}")

    def _here(self, text: str) -> str:
        return re.sub(r"(?<=:)808[01]\b", lambda match: self._ports[match[0]], text)

    def _execute(self, command: str) -> tuple[int, str]:
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f'{command}\nprintf "{MARK}%s{MARK}" "$?"\n'.encode())
        self._shell.stdin.flush()
        output = b""
        deadline = time.monotonic() + COMMAND_SECONDS
        while not (end := re.search(f"{MARK}(\\d+){MARK}$".encode(), output)):
            readable, _, _ = select.select([self._shell.stdout], [], [], max(0, deadline - time.monotonic()))
            part = os.read(self._shell.stdout.fileno(), 65536) if readable else b""
            if not part:
                raise DocumentError(f"{self._document.name}: {command}: no end. So far:\n{output.decode()}")
            output += part
        return int(end[1]), output[: end.start()].decode()

    def _start(self, line: int, command: str) -> None:
        log = self._folder / f"background-{line}.log"
        _, pid = self._execute(f'{self._here(command)} >"{log}" 2>&1 </dev/null & printf %s $!')
        self._background.append((int(pid), command))
        deadline = time.monotonic() + COMMAND_SECONDS
        while not self._ready():
            gone = not Path(f"/proc/{pid}").exists()
            if gone or time.monotonic() > deadline:
                raise DocumentError(f"{self._document.name}:{line}: {command} is not ready:\n{log.read_text()}")
            time.sleep(0.1)

    def _ready(self) -> bool:
        try:
            url = f"http://127.0.0.1:{self._ports['8081']}/readyz"
            with urllib.request.urlopen(url, timeout=5) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _stop_background(self) -> None:
        for pid, command in reversed(self._background):
            status, printed = self._execute(
                f"kill -TERM {pid}; timeout {STOP_SECONDS} tail --pid={pid} -f /dev/null; wait {pid}"
            )
            if status != 0:
                raise DocumentError(
                    f"{self._document.name}: {command} ended with status {status} on SIGTERM: {printed}"
                )
