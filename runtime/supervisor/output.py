"""What child processes write to standard output and error, as lines of the node's own log.

So that one stream has one form: a JSON log stays JSON when V8 prints its last words or a child its traceback.
"""

import asyncio
import logging
import re

MAX_LINE_BYTES = 16_384

_LEVELLED = re.compile(r"(?P<name>[\w.]+): (?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL) (?P<message>.*)")


class Output(asyncio.Protocol):
    """The reading end of a child's output pipe."""

    def __init__(self, process: str) -> None:
        self._log = logging.getLogger(f"brrrd.{process}")
        self._pending = b""

    def data_received(self, data: bytes) -> None:
        *lines, self._pending = (self._pending + data).split(b"\n")
        if len(self._pending) > MAX_LINE_BYTES:
            lines.append(self._pending)
            self._pending = b""
        for line in lines:
            self._write(line)

    def connection_lost(self, exc: Exception | None) -> None:
        self._write(self._pending)

    def _write(self, line: bytes) -> None:
        text = line[:MAX_LINE_BYTES].decode("utf-8", "replace").rstrip()
        if not text:
            return
        levelled = _LEVELLED.fullmatch(text)
        if levelled is None:
            self._log.warning("%s", text)
        else:
            self._log.log(
                logging.getLevelNamesMapping()[levelled["level"]], "%s: %s", levelled["name"], levelled["message"]
            )
