"""Where a client command finds the operator token.

Looked at in this order: `--token`, the variable BRRRD_OPERATOR_TOKEN, and the token file in the data directory of the
node that listens at the API address. So that the last works from any folder, `brrrd serve` records its data directory
under its control port in the user's state folder. A token that was read from a file is only ever sent to this machine.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from runtime.addresses import WILDCARDS

VARIABLE = "BRRRD_OPERATOR_TOKEN"
FILE_NAME = "operator-token"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class FoundToken(NamedTuple):
    """A token, or None, and what was looked at to find it, in words for an error message."""

    value: str | None
    tried: list[str]


def state_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of records of nodes on this machine (XDG base directories)."""
    base = environ.get("XDG_STATE_HOME") or Path(environ.get("HOME") or Path.home()) / ".local" / "state"
    return Path(base) / "brrrd" / "nodes"


def record_node(control: str, data_dir: Path, environ: Mapping[str, str] = os.environ) -> None:
    """Remember that the node controlled at `control` (host:port) keeps its files in `data_dir`.

    Only for this user (0700, 0600); raises OSError when that cannot be written.
    """
    host, _, port = control.rpartition(":")
    if host.strip("[]") not in LOOPBACK | WILDCARDS or port == "0":
        return
    folder = state_folder(environ)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    record = folder / port
    pending = folder / f".{port}.{os.getpid()}"
    pending.touch(mode=0o600)
    pending.write_text(f"{data_dir.absolute()}\n")
    pending.replace(record)


def find_token(
    api: str, given: str | None, data_dir: Path | None = None, environ: Mapping[str, str] = os.environ
) -> FoundToken:
    """Return the token for the node at `api`; `data_dir` is where a node without a record keeps its files."""
    if given:
        return FoundToken(given, ["--token"])
    tried = ["--token (not given)"]
    if value := environ.get(VARIABLE):
        return FoundToken(value, [*tried, VARIABLE])
    tried.append(f"{VARIABLE} (not set)")
    url = urlsplit(api)
    if url.hostname not in LOOPBACK:
        tried.append(f"no token file, because {url.hostname} is not this machine")
        return FoundToken(None, tried)
    record = state_folder(environ) / str(url.port or 80)
    for folder in (_read(record), data_dir):
        if folder is None:
            continue
        path = Path(folder) / FILE_NAME
        if value := _read(path):
            return FoundToken(value, [*tried, str(path)])
        if (entry := f"{path} (cannot be read)") not in tried:
            tried.append(entry)
    return FoundToken(None, tried)


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except OSError:
        return None
