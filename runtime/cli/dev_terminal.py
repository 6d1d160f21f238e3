"""What `brrrd dev` prints: where things are, deployments, and the app's log; coloured on a terminal, plain elsewhere.

Used by several threads. What an app logs is text from outside: its control characters never reach the terminal.
"""

import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from runtime.cli.plain_text import plain

LEVEL_STYLES = {"debug": "dim", "info": "cyan", "warn": "yellow", "error": "red"}
REQUEST_ID_CHARACTERS = 8
"""The last ones, since ids of one edge worker begin alike: enough to see which lines belong together. `brrrd logs` has
the whole id."""


class Terminal:
    """Standard output."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(
            highlight=False, markup=False, emoji=False, soft_wrap=True, force_terminal=sys.stdout.isatty()
        )
        self._lock = threading.Lock()

    def heading(self, sentence: str, rows: Mapping[str, str]) -> None:
        """Say what is served and where."""
        width = max(map(len, rows))
        text = Text(f"\n{sentence}\n\n")
        for name, value in rows.items():
            text.append(f"  {name:<{width}}  ", "dim").append(f"{value}\n")
        self._print(text)

    def deployed(self, build_id: str, seconds: float) -> None:
        """A build is served."""
        self._print(_stamp(time.time()).append("deployed ", "green").append(f"{build_id} in {seconds * 1000:.0f} ms"))

    def refused(self, why: str, is_served: bool) -> None:
        """A build is not served."""
        rest = "the build before is still served" if is_served else "waiting for a change"
        self._print(_stamp(time.time()).append("refused  ", "bold red").append(f"{plain(why)}\n    ({rest})"))

    def log(self, entry: Mapping[str, Any]) -> None:
        """Print a line of the app's log."""
        level = str(entry.get("level", "info"))
        text = _stamp(float(entry.get("time") or 0)).append(f"{level:<5} ", LEVEL_STYLES.get(level, ""))
        request_id = plain(str(entry.get("request_id", "")))[-REQUEST_ID_CHARACTERS:]
        if request_id:
            text.append(f"{request_id} ", "dim")
        first, *more = plain(str(entry.get("message", ""))).split("\n")
        text.append(first, "red" if level == "error" else "")
        for line in more:
            text.append(f"\n    {line}", "dim" if line.lstrip().startswith("at ") else "")
        self._print(text)

    def _print(self, text: Text) -> None:
        with self._lock:
            self._console.print(text)
            self._console.file.flush()


def _stamp(seconds: float) -> Text:
    return Text().append(time.strftime("%H:%M:%S ", time.localtime(seconds)), "dim")
