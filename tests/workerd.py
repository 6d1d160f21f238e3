"""workerd, the peer of benchmarks and conformance runs: its binary, from npm in the version named here."""

from functools import cache
from pathlib import Path

from tests.node import npm_project, run_command

VERSION = "1.20261117.1"
COMPATIBILITY_DATE = "2026-11-01"


@cache
def binary() -> Path:
    """The executable, installed at the first call on a machine. Raises `NodeError` if npm cannot."""
    folder = npm_project("workerd", {"workerd": VERSION})
    # The npm package's own script answers the path of the platform's binary, which runs without Node.js in between.
    printed = run_command(("node", "-p", "require('workerd').default"), cwd=folder, env={"NODE_NO_WARNINGS": "1"})
    return Path(printed.strip())
