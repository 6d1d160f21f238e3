"""The node's data folder: who holds it, where sockets live, the operator token.

    data_dir/  lock            held while a node runs
               operator-token  bearer token of the control API, mode 0600
               state.db        desired state (`runtime.state`)
               packages/       artifact store and cache (`artifacts.store`)
               databases/      database files (`dataplane.worker`)
               snapshots/      copies of them (`runtime.control.snapshots`)
               responses/      what apps keep with the Cache API (`router.cache`); may be removed while no node runs
               logs/           app logs (`runtime.telemetry`)
               cache/          V8 start-up snapshot; may be removed while no node runs
               run/            Unix sockets; elsewhere when the path would be too long for one

Called by `runtime.serve`; the client commands read the token file.
"""

import fcntl
import os
import secrets
import shutil
import tempfile
from pathlib import Path

from runtime.config import ConfigError
from runtime.supervisor.sockets import LONGEST_UNIX_PATH

TOKEN_FILE = "operator-token"  # noqa: S105 a file name
LONGEST_SOCKET_NAME = 24


class DataDir:
    """An opened data folder. `close` gives up the lock and removes the sockets."""

    def __init__(self, path: Path, lock: int, run: Path) -> None:
        self.path = path
        self.run = run
        self._lock = lock

    def __repr__(self) -> str:
        return f"<DataDir {self.path} run={self.run}>"

    @classmethod
    def open(cls, path: Path) -> "DataDir":
        """Create the folder if it is missing, and take its lock. Raises `ConfigError`."""
        path = path.absolute()
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(f"data_dir: {path} cannot be used: {error.strerror}") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(lock, 32).decode("ascii", "replace").strip()
            os.close(lock)
            raise ConfigError(
                f"data_dir: {path} is in use by another node (pid {holder or 'unknown'}); "
                "stop it, or start this one with another --data-dir"
            ) from None
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        return cls(path, lock, _run_dir(path))

    def operator_token(self, configured: str) -> str:
        """The configured token, else the one in the token file, made at first start."""
        if configured:
            return configured
        file = self.path / TOKEN_FILE
        if file.exists():
            token = file.read_text(encoding="ascii").strip()
            if token:
                return token
        token = "brrrd_op_" + secrets.token_urlsafe(32)
        draft = self.path / (TOKEN_FILE + ".new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as stream:
            stream.write(token + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        draft.rename(file)
        return token

    def close(self) -> None:
        """Give the folder back."""
        shutil.rmtree(self.run, ignore_errors=True)
        os.close(self._lock)


def _run_dir(data_dir: Path) -> Path:
    """An empty folder of mode 0700 for Unix sockets, whose paths may have 107 bytes at most."""
    run = data_dir / "run"
    if run.is_symlink():  # made by an earlier start, see below
        shutil.rmtree(run.resolve(), ignore_errors=True)
        run.unlink()
    shutil.rmtree(run, ignore_errors=True)
    if len(os.fsencode(run)) + 1 + LONGEST_SOCKET_NAME <= LONGEST_UNIX_PATH:
        run.mkdir(mode=0o700)
        return run
    short = Path(tempfile.mkdtemp(prefix="brrrd-"))
    run.symlink_to(short)  # so that the next start finds and removes it, should this one be killed
    return short
