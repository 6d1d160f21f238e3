"""One isolate host: a forked process that serves one build of one app.

Its main thread prepares an isolate, waits for `Load`, boots the platform and stays in the ring's loop until it ends.
It opens no network socket: edge workers connect to the listening socket it was given, and it connects to the egress
and the cache process. It ends by `os._exit`, always.
"""

import math
import mmap
import os
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import NoReturn

from isolates import wire, yields
from isolates.buffers import CACHE, EGRESS
from isolates.cpu_limits import cpu_limits
from isolates.fires import Fires
from isolates.link import Link
from isolates.messages import (
    Blocked,
    Drain,
    Elsewhere,
    Fire,
    FromHost,
    Limits,
    Load,
    Loaded,
    LoadFailed,
    LogLess,
    Retiring,
    ToHost,
)
from isolates.package import Package
from isolates.platform_isolate import Origin, PlatformIsolate
from isolates.process import bound_memory
from isolates.relief import Relief
from isolates.reports import Reports
from isolates.ring import Ring
from isolates.sandbox.layers import Sandbox
from isolates.v8.errors import JavaScriptError, Terminated
from isolates.v8.isolate import Isolate
from isolates.watchdog import Watchdog

EXIT_LOAD_FAILED = 1
EXIT_RETIRED = 3
EXIT_BROKEN = 70
UNFIT = "prototypes"
"""What stands in the place of a limit's name when the app broke the language under the platform."""
WALL_GRACE_MS = 250
"""The edge answers 504 at the limit; only then is JavaScript ended."""
HEAP_GRACE_BYTES = 64 << 20
"""Heap beyond the limit in which JavaScript can be ended; without it V8 would abort the process."""
LAST_BYTES = 1 << 20
"""Kept untouched, for what is to be said when the app has taken all the rest."""
STATS_SECONDS = 1.0
FLUSH_SECONDS = 0.005
"""How often the supervisor is offered what it did not take at first. It takes little at a time."""
DRAIN_QUIET_SECONDS = 0.25
"""How long requests that crossed the GOAWAY on the wire are waited for."""
_LEVELS = ("debug", "info", "warn", "error")


class Host:
    """See the module. `run` never returns."""

    def __init__(
        self,
        origin: Origin,
        *,
        sandbox: Sandbox,
        channel: socket.socket,
        listener: socket.socket,
        stands_by: bool = False,
    ) -> None:
        self._origin = origin
        self._sandbox = sandbox
        self._zygote = os.getppid()
        self._platform: PlatformIsolate
        self._isolate: Isolate
        self._ring: Ring
        self._watchdog: Watchdog
        self._link = Link(channel)
        listener.setblocking(False)
        self._listener = listener
        self._services: dict[int, str] = {}
        self._ticket = b""
        self._reports = Reports(self._link)
        self._load_started = 0.0
        self._loaded = False
        self._ending = False
        self._stats_due = 0.0
        self._buffers_due = 0.0
        self._blocked = False
        self._fires = Fires()
        self._drain_until: float | None = None
        self._last_busy = 0.0
        self._last_memory = mmap.mmap(-1, LAST_BYTES, flags=mmap.MAP_PRIVATE)
        self._limits = Limits()
        with yields.yielding():
            self._prepare(self._limits.memory_mb)
            if stands_by:
                self._rehearse()
        self._sandbox.approach()

    def __repr__(self) -> str:
        state = "draining" if self._drain_until else "serving" if self._loaded else "standby"
        return f"<Host {state}, {self._isolate!r}>"

    def run(self) -> NoReturn:
        """Wait for `Load`, serve, exit."""
        while True:
            try:
                for message in self._link.receive():
                    if isinstance(message, Load):
                        self._serve(message)
                    self._exit(0)
            except EOFError:
                os._exit(0)

    # -- preparing

    def _prepare(self, heap_mb: int) -> None:
        """Make an isolate that is ready for an app with this heap."""
        platform = self._platform = PlatformIsolate(
            self._origin, heap_mb, on_heap_limit=self._on_heap_limit, on_fatal=self._on_fatal
        )
        self._isolate = platform.isolate
        platform.prepare(guarded=self._guarded, on_frames=self._on_frames, on_due=self._on_due, connect=self._connect)
        platform.operations.crypto.on_no_memory = self._on_no_buffer
        self._ring = platform.ring

    def _rehearse(self) -> None:
        """Play an app to the platform. Raises `RehearsalError`."""
        # Nobody is told of this loading, nor of these requests.
        self._loaded, self._stats_due = True, math.inf
        self._platform.rehearse(self._limits)
        self._loaded, self._stats_due = False, 0.0

    def _serve(self, load: Load) -> NoReturn:
        self._load_started = time.monotonic()
        self._stats_due = self._load_started + STATS_SECONDS
        if load.limits.memory_mb != self._limits.memory_mb:
            self._platform.dispose()
            self._prepare(load.limits.memory_mb)
        self._limits = load.limits
        self._link.unblock()
        # Not before: a rehearsal would take what is not for it.
        self._ring.watch(self._link.descriptor, self._on_channel)
        package = self._confine(load)
        self._ring.busy_since = self._load_started
        self._watchdog = Watchdog(
            limit=(load.limits.wall_ms + WALL_GRACE_MS) / 1000,
            status=EXIT_RETIRED,
            busy_since=lambda: self._ring.busy_since,
            expire=self._on_stuck,
            cpu=cpu_limits(load.limits.cpu_ms, self._ring, self._platform.operations.crypto, self._on_cpu_limit),
        )
        self._watchdog.start()
        yields.Yields(lambda: self._ring.busy_since).start()
        Relief(
            descriptor=self._link.descriptor, busy_since=lambda: self._ring.busy_since, relieve=self._on_blocked
        ).start()
        try:
            loop = self._platform.boot(package, load, partial(self._reports.hit, "module_mb"))
            self._isolate.call(loop, messages=False)
        except Terminated:
            self._exit(EXIT_RETIRED)
        except JavaScriptError as error:
            self._fail(f"the platform stopped: {error}")
            self._exit(EXIT_BROKEN)
        self._exit(0)

    def _confine(self, load: Load) -> Package:
        """Go behind every lock that this machine has, before any code of the app runs and any thread is started."""
        self._ticket = load.ticket
        try:
            package = Package(load.directory)
            bound_memory(load.limits.memory_mb)
            sockets = [load.egress_socket, load.cache_socket]
            paths = self._sandbox.enter(package.descriptor, sockets, parent=self._zygote)
            self._services = dict(zip((EGRESS, CACHE), paths, strict=True))
        except OSError as error:
            self._fail(f"the host could not be confined: {error}")
            self._exit(EXIT_BROKEN)
        return package

    def _guarded(self, call: Callable[[], None]) -> Callable[[int], None]:
        """Return `call` for V8, such that an exception ends the process: it must not unwind into V8."""

        def guarded(_info: int) -> None:
            try:
                call()
            except MemoryError:
                self._end_without_memory("nothing is left for operations of the platform")
            except Exception as error:  # the door between V8 and this room
                self._fail(f"the host stopped: {error!r}")
                self._exit(EXIT_BROKEN)

        return guarded

    # -- turns of the loop

    def _on_due(self, now: float) -> float:
        """Do what is due; return when to be called again at the latest."""
        if self._ending:
            self._exit(EXIT_RETIRED)
        until = math.inf
        if self._blocked:
            self._blocked = False
            self._ring.resume()
            self._link.send(Blocked(False))
        if now >= self._stats_due:
            self._stats_due = now + STATS_SECONDS
            self._reports.send_stats(self._ring.counters, self._isolate.heap_bytes)
        if self._reports.changed(self._ring.counters):
            until = self._stats_due
        until = min(until, self._platform.blocks.trim(now), self._platform.spare.trim(now, self._ring.counters))
        if self._link.pending:
            self._link.flush()
            until = min(until, now + FLUSH_SECONDS)
        if not self._loaded:
            until = min(until, self._check_load(now))
        if self._drain_until is not None:
            until = min(until, self._check_drain(now, self._drain_until))
        return until

    def _check_load(self, now: float) -> float:
        deadline = self._load_started + self._limits.wall_ms / 1000
        if now >= deadline:
            self._link.send(LoadFailed(f"loading did not finish within wall_ms = {self._limits.wall_ms} ms"))
            self._exit(EXIT_LOAD_FAILED)
        return deadline

    def _check_drain(self, now: float, until: float) -> float:
        """Exit once nothing is under way; return when to look again."""
        ring = self._ring
        if now >= until:
            self._exit(0)
        if ring.counters.busy or ring.pending_bytes():
            self._last_busy = now
        elif not ring.edges or now - self._last_busy >= DRAIN_QUIET_SECONDS:
            ring.refuse_rest()
            self._exit(0)
        return now + 0.02

    # -- messages, frames, connections

    def _on_channel(self) -> None:
        try:
            for message in self._link.receive():
                self._on_message(message)
        except EOFError:
            os._exit(0)

    def _on_message(self, message: ToHost) -> None:
        if isinstance(message, Fire):
            self._ring.tell_javascript(self._fires.start(message, time.monotonic()))
        elif isinstance(message, LogLess):
            self._reports.log_less()
        elif isinstance(message, Elsewhere):
            self._ring.tell_javascript(wire.encode(message.websockets, wire.Type.ELSEWHERE, flags=wire.END))
        elif isinstance(message, Drain):
            if not self._loaded:
                self._exit(0)
            now = time.monotonic()
            self._accept()
            self._ring.unwatch(self._listener.fileno())
            self._listener.close()
            self._drain_until = now + message.grace_ms / 1000
            self._last_busy = now
            self._ring.drain()
            self._ring.interrupt()

    def _on_frames(self, view: memoryview) -> None:
        """Frames that JavaScript wrote for the host itself."""
        for frame in wire.decode(bytes(view))[0]:
            if frame.type == wire.Type.LOG:
                level = _LEVELS[min(frame.status, len(_LEVELS) - 1)]
                self._reports.log(level, frame.head.decode("latin-1"), frame.data)
            elif frame.type == wire.Type.LIMIT:
                request_id, _, limit = frame.head.decode("latin-1").partition("\n")
                self._reports.count(limit)
                if frame.data:
                    self._reports.log("warn", request_id, frame.data)
            elif frame.type == wire.Type.FIRED:
                fired = self._fires.end(frame.stream, frame.status, time.monotonic())
                if fired is not None:
                    self._link.send(fired)
            elif frame.type == wire.Type.UNFIT:
                self._retire(UNFIT, frame.data.decode("utf-8", "replace"))
                self._exit(EXIT_RETIRED)
            elif frame.type == wire.Type.LOADED and not self._loaded:
                self._loaded = True
                self._ring.watch(self._listener.fileno(), self._accept)
                # Edge workers that a request waits at have been told to connect, and are there.
                self._accept()
                self._link.send(Loaded((time.monotonic() - self._load_started) * 1000))
            elif frame.type == wire.Type.FAILED:
                file, line, column = [*frame.head.decode("latin-1").split("\n"), "", "", ""][:3]
                message = frame.data.decode("utf-8", "replace")
                self._link.send(LoadFailed(message, file, _number(line), _number(column)))
                self._exit(EXIT_LOAD_FAILED)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._ring.add_edge(sock)

    def _connect(self, number: int) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(self._services[number])
            # Before anything of JavaScript's: what comes first says who this is.
            sock.sendall(wire.encode(0, wire.Type.IDENTIFY, data=self._ticket))
        except OSError:
            sock.close()
            raise
        return sock

    # -- ends

    def _fail(self, message: str) -> None:
        """Tell the app's owner, and the supervisor if it waits for the load, what broke."""
        self._reports.say("error", message)
        if not self._loaded:
            self._link.send(LoadFailed(message))

    def _retire(self, limit: str, message: str) -> None:
        """Report a limit that was hit, once. Called from any thread, also within V8."""
        if self._ending:
            return
        self._ending = True
        report: FromHost = Retiring(limit, message) if self._loaded else LoadFailed(message)
        self._reports.say("error", message)
        self._link.send(report)
        at = "" if limit == UNFIT else f" at its limit {limit}"
        self._ring.tell_end(limit, f"The app was stopped{at} and is being restarted. Try again soon.")
        self._ring.interrupt()

    def _on_blocked(self, busy_since: float) -> None:
        """JavaScript does not yield while requests wait: let other hosts have them. Called from another thread."""
        if self._loaded and not self._ending:
            self._ring.send_back(busy_since, self._tell_blocked)

    def _tell_blocked(self) -> bool:
        """Tell the supervisor, once per time of blocking; returns whether this was it."""
        if self._blocked:
            return False
        self._blocked = True
        self._link.send(Blocked(True))
        self._ring.interrupt()
        return True

    def _on_stuck(self) -> None:
        wall_ms = self._limits.wall_ms
        self._retire("wall_ms", f"JavaScript did not yield for {wall_ms} ms (limit wall_ms): the isolate was ended")
        self._isolate.terminate()

    def _on_cpu_limit(self, what: str, how: str) -> None:
        cpu_ms = self._limits.cpu_ms
        self._retire("cpu_ms", f"{what} {cpu_ms} ms of CPU {how} (limit cpu_ms): the isolate was ended")
        self._isolate.terminate()

    def _on_heap_limit(self, current: int) -> int:
        """End JavaScript if the heap is full, with some room to do so.

        V8 also asks when a buffer outside the heap could not be had; then the answer is no, and a RangeError is thrown.
        """
        if self._isolate.heap_bytes() < current * 3 // 4:
            self._on_no_buffer()
            return current
        self._retire("memory_mb", self._memory_message("the heap is full"))
        self._isolate.terminate()
        self._watchdog.end_soon()
        return current + HEAP_GRACE_BYTES

    def _on_no_buffer(self) -> None:
        """Memory beside the heap was asked for in vain, and the app can go on."""
        message = f"A buffer could not be had: the limit memory_mb = {self._limits.memory_mb} is used up"
        now = time.monotonic()
        if now >= self._buffers_due:  # V8 asks again and again for the same buffer
            self._buffers_due = now + STATS_SECONDS
            self._reports.hit("memory_mb", message)

    def _on_fatal(self, reason: str, out_of_memory: bool) -> None:
        """V8 is about to abort the process: say why, and spare the core dump."""
        if out_of_memory:
            self._end_without_memory(reason)
        self._fail(f"V8 failed: {reason}")
        self._exit(EXIT_BROKEN)

    def _end_without_memory(self, reason: str) -> NoReturn:
        self._last_memory.close()
        self._retire("memory_mb", self._memory_message(reason))
        self._exit(EXIT_RETIRED)

    def _memory_message(self, reason: str) -> str:
        return f"out of memory (limit memory_mb = {self._limits.memory_mb}): {reason}; the isolate was ended"

    def _exit(self, status: int) -> NoReturn:
        self._reports.send_dropped()
        self._link.flush(seconds=1.0)
        os._exit(status)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0
