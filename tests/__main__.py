"""The one test command: `python -m tests [--only GROUP,…] [pytest arguments]`.

Runs everything a change must pass, in this order: lint, format, types, bundle (the committed JavaScript is what its
source builds to), tests. A group that fails does not stop the later ones; the exit status is 1 if any failed.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.node import NPM, node_environment

ROOT = Path(__file__).resolve().parent.parent
PLATFORM = ROOT / "isolates" / "js"


def _run(*command: str, cwd: Path = ROOT, env: dict[str, str] | None = None) -> bool:
    return subprocess.run(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, check=False).returncode == 0


def _python(*arguments: str) -> bool:
    return _run(sys.executable, "-m", *arguments)


def _packages_are_current(folder: Path) -> bool:
    """npm copies the lock file into `node_modules` at the end of an installation."""
    installed = folder / "node_modules" / ".package-lock.json"
    return installed.is_file() and installed.stat().st_mtime >= (folder / "package-lock.json").stat().st_mtime


def _bundle() -> bool:
    environment = node_environment()
    if not _packages_are_current(PLATFORM) and not _run(
        *NPM, "ci", "--no-audit", "--no-fund", "--loglevel=error", cwd=PLATFORM, env=environment
    ):
        return False
    return _run(*NPM, "run", "--silent", "check", cwd=PLATFORM, env=environment)


def _groups(pytest_arguments: list[str]) -> dict[str, Callable[[], bool]]:
    return {
        "lint": lambda: _python("ruff", "check", "."),
        "format": lambda: _python("ruff", "format", "--check", "."),
        "types": lambda: _python("mypy"),
        "bundle": _bundle,
        "tests": lambda: _python("pytest", *pytest_arguments),
    }


def main(arguments: list[str]) -> int:
    if arguments[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    only: list[str] = []
    if arguments[:1] == ["--only"]:
        only, arguments = arguments[1].split(","), arguments[2:]
    groups = _groups(arguments)
    if unknown := set(only) - set(groups):
        print(f"No such group: {', '.join(sorted(unknown))}. Groups: {', '.join(groups)}.", file=sys.stderr)
        return 2
    outcomes: dict[str, bool] = {}
    started = time.monotonic()
    for name, run in groups.items():
        if not only or name in only:
            print(f"== {name}", flush=True)
            outcomes[name] = run()
    verdicts = ", ".join(f"{name} {'ok' if passed else 'FAILED'}" for name, passed in outcomes.items())
    print(f"== {verdicts} ({time.monotonic() - started:.0f} s)", flush=True)
    return 0 if all(outcomes.values()) else 1


if __name__ == "__main__":
    # A job in the background may have been started with it ignored, and so would be what tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
