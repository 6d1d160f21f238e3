"""The node's own log on standard error: readable lines on a terminal, one JSON object per line otherwise.

Never logged: tokens, keys, values of environment variables, request bodies, SQL.
"""

import json
import logging
import sys
import time
from typing import Literal, TextIO


class JsonLines(logging.Formatter):
    """`{"time", "level", "logger", "message", "exception"?}` per line."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


class HumanLines(logging.Formatter):
    """`12:00:00.000 warning supervisor: text`."""

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        name = record.name.removeprefix("brrrd.")
        line = f"{clock}.{int(record.msecs):03d} {record.levelname.lower()} {name}: {record.getMessage()}"
        return line + ("\n" + self.formatException(record.exc_info) if record.exc_info else "")


def set_up(form: Literal["auto", "human", "json"], level: str, stream: TextIO = sys.stderr) -> None:
    """Direct all logging to `stream`. Libraries are heard from warnings on."""
    human = form == "human" or (form == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(HumanLines() if human else JsonLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("brrrd").setLevel(level.upper())
