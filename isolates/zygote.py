"""The zygote: a process with V8 initialised, from which isolate hosts are forked in about two milliseconds.

`python -m isolates.zygote [--platform FILE] [--cache DIR]`, started by the supervisor with its control channel as file
descriptor 3. It never creates an isolate itself, since one inherited over a fork hangs, and has no second thread. Hosts
die with it, and it ends when the channel does.
"""

import argparse
import contextlib
import gc
import importlib.metadata
import os
import select
import socket
import stat
import sys
import tempfile
from collections import deque
from pathlib import Path
from typing import NoReturn

from isolates import yields
from isolates.host import EXIT_BROKEN, Host
from isolates.messages import Exited, Fork, Forked, FromZygote, ToZygote, ZygoteReady
from isolates.platform_isolate import Origin
from isolates.process import close_descriptors, default_signals
from isolates.sandbox import layers
from isolates.v8 import builtins, engine, snapshot
from isolates.v8.errors import EngineError
from runtime.child import die_with_parent
from runtime.framing import FD, ChannelError, Decoder, encode

PLATFORM = Path(__file__).parent / "js" / "dist" / "platform.js"
MODULES = PLATFORM.parent / "modules"
REHEARSAL = "rehearsal.js"
"""What the platform does before it is put into the snapshot, a file beside it; there need not be one."""
_DESCRIPTORS_PER_FORK = 2


class Zygote:
    """Forks on request, and reports every host that ended."""

    def __init__(self, channel: socket.socket, platform: Path, cache: Path, user: str) -> None:
        self._channel = channel
        self._decoder: Decoder[ToZygote] = Decoder(ToZygote)
        self._descriptors: deque[int] = deque()
        self._hosts: dict[int, tuple[str, int]] = {}
        self._poller = select.poll()
        v8 = engine.start()
        script = platform.read_bytes()
        rehearsal = platform.with_name(REHEARSAL)
        rehearsed = rehearsal.read_bytes() if rehearsal.exists() else b""
        made = snapshot.cached(v8, script, rehearsed, cache)
        if made is None:
            print(
                "zygote: V8 made no start-up snapshot, so each host evaluates the platform", file=sys.stderr, flush=True
            )
        self._origin = Origin(v8, script, made, builtins.read(MODULES), importlib.metadata.version("brrrd"))
        # Last: from here on this process has no network, and the files of other users may be out of its reach.
        self._sandbox, self._containment = layers.prepare(user)

    def __repr__(self) -> str:
        return f"<Zygote {len(self._hosts)} hosts, {self._origin.snapshot}>"

    def run(self) -> NoReturn:
        """Serve until the supervisor is gone, then exit."""
        # Objects that exist now are never collected: the children's collectors leave their pages shared.
        gc.collect()
        gc.freeze()
        self._poller.register(self._channel, select.POLLIN)
        held = self._containment
        self._send(ZygoteReady(self._origin.engine.name, containment=held.applied, missing=held.missing))
        while True:
            for descriptor, _ in self._poller.poll():
                if descriptor == self._channel.fileno():
                    self._receive()
                else:
                    self._reap(descriptor)

    def _receive(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._channel, 1 << 16, 32)
        except ConnectionError:
            data, descriptors = b"", []
        if not data:
            os._exit(0)
        self._descriptors.extend(descriptors)
        for message in self._decoder.feed(data):
            if len(self._descriptors) < _DESCRIPTORS_PER_FORK:
                raise ChannelError(f"{message.host_id}: Fork came without its two descriptors")
            self._fork(message, self._descriptors.popleft(), self._descriptors.popleft())
        if beats := self._decoder.beats():
            self._write(beats)

    def _fork(self, message: Fork, channel: int, listener: int) -> None:
        zygote = os.getpid()
        child = os.fork()
        if child == 0:
            self._become_host(zygote, channel, listener, message.stands_by)
        os.close(channel)
        os.close(listener)
        watch = os.pidfd_open(child)
        self._hosts[watch] = (message.host_id, child)
        self._poller.register(watch, select.POLLIN)
        self._send(Forked(message.host_id, child))

    def _become_host(self, zygote: int, channel: int, listener: int, stands_by: bool) -> NoReturn:
        """The child's side of a fork. Nothing of the zygote stays open, and no exception gets back into its loop."""
        try:
            die_with_parent(zygote)
            gc.disable()
            # The sockets of this object are the zygote's: forget them without closing them a second time.
            self._channel.detach()
            close_descriptors(channel, listener)
            Host(
                self._origin,
                sandbox=self._sandbox,
                channel=socket.socket(fileno=channel),
                listener=socket.socket(fileno=listener),
                stands_by=stands_by,
            ).run()
        except BaseException as error:  # the process's door
            print(f"isolate host {os.getpid()} stopped: {error!r}", file=sys.stderr, flush=True)
        finally:
            os._exit(EXIT_BROKEN)

    def _reap(self, watch: int) -> None:
        host_id, child = self._hosts.pop(watch)
        self._poller.unregister(watch)
        os.close(watch)
        _, status = os.waitpid(child, 0)
        self._send(Exited(host_id, child, os.waitstatus_to_exitcode(status)))

    def _send(self, message: FromZygote) -> None:
        self._write(encode(message))

    def _write(self, frames: bytes) -> None:
        try:
            self._channel.sendall(frames)
        except ConnectionError:
            os._exit(0)


def cache_folder() -> Path:
    """Return a folder of this user's own for snapshots, when the supervisor names none."""
    folder = Path(tempfile.gettempdir()) / f"brrrd-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        return Path(tempfile.mkdtemp(prefix="brrrd-"))
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(prog="isolates.zygote")
    parser.add_argument("--platform", type=Path, default=PLATFORM, help="the web platform's bundle")
    parser.add_argument("--cache", type=Path, help="folder for start-up snapshots")
    parser.add_argument("--user", default="nobody", help="whom hosts become if this is started as root")
    arguments = parser.parse_args()
    die_with_parent(os.getppid())
    default_signals()
    yields.prepare()
    # Apps see UTC wherever the node runs; and V8 would look for the machine's zone in files that hosts cannot open.
    os.environ["TZ"] = "UTC"
    try:
        cache = arguments.cache or cache_folder()
        zygote = Zygote(socket.socket(fileno=FD), arguments.platform, cache, arguments.user)
    except (EngineError, OSError) as error:
        raise SystemExit(f"zygote: {error}") from None
    zygote.run()


if __name__ == "__main__":
    main()
