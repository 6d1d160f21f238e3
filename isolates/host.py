"""One isolate host: a forked process that serves one build of one app.

Its main thread prepares an isolate, waits for `Load`, boots the platform and stays in the ring's loop until it ends.
It opens no network socket: edge workers connect to the listening socket it was given, and it connects to the egress
and the cache process. It ends by `os._exit`, always.
"""

import math
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NoReturn

from isolates import wire
from isolates.boot_config import boot_config
from isolates.cpu_limits import cpu_limits
from isolates.fires import Fires
from isolates.link import Link
from isolates.log_budget import MAX_LINE_BYTES, LogBudget
from isolates.messages import (
    Blocked,
    Drain,
    Elsewhere,
    Fire,
    FromHost,
    HostStats,
    Limits,
    Load,
    Loaded,
    LoadFailed,
    Log,
    Retiring,
    ToHost,
)
from isolates.operations import Operations
from isolates.package import Package
from isolates.process import bound_memory
from isolates.rehearsal import own_app, rehearse
from isolates.relief import Relief
from isolates.ring import BUFFER_BYTES, CACHE, EGRESS, Counters, Ring
from isolates.sandbox.layers import Sandbox
from isolates.v8.builtins import Builtins
from isolates.v8.errors import JavaScriptError, Terminated
from isolates.v8.isolate import Handle, Isolate
from isolates.v8.modules import Modules
from isolates.v8.snapshot import Snapshot
from isolates.v8.symbols import STRINGREF, Engine
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
STATS_SECONDS = 1.0
DRAIN_QUIET_SECONDS = 0.25
"""How long requests that crossed the GOAWAY on the wire are waited for."""
MIN_HEAP_MB = 16
_RESOURCE = "brrrd:host"
_LEVELS = ("debug", "info", "warn", "error")
_MAKE_RING = f"""(() => {{
  const make = globalThis.__brrrd_ring;
  delete globalThis.__brrrd_ring;
  const buffer = () => new ArrayBuffer({BUFFER_BYTES});
  return make ? make() : {{ input: buffer(), output: buffer(), scratch: buffer() }};
}})()"""
"""The platform may make the buffers itself, as memories of a WebAssembly module that can code UTF-8 natively."""
_BUFFERS = ("input", "output", "scratch")


class Host:
    """See the module. `run` never returns."""

    def __init__(
        self,
        engine: Engine,
        *,
        platform: bytes,
        snapshot: Snapshot | None,
        modules: Mapping[str, bytes],
        version: str,
        sandbox: Sandbox,
        channel: socket.socket,
        listener: socket.socket,
        stands_by: bool = False,
    ) -> None:
        self._engine = engine
        self._platform = platform
        self._snapshot = snapshot
        self._builtins = modules
        self._version = version
        self._sandbox = sandbox
        self._zygote = os.getppid()
        self._package: Package
        self._isolate: Isolate
        self._native: Handle
        self._ring: Ring
        self._operations: Operations
        self._boot_script: Handle
        self._parse: Handle
        self._rehearsal: Handle | None
        self._watchdog: Watchdog
        self._link = Link(channel)
        listener.setblocking(False)
        self._listener = listener
        self._services: dict[int, str] = {}
        self._ticket = b""
        self._log_budget = LogBudget(time.monotonic())
        self._load_started = 0.0
        self._loaded = False
        self._ending = False
        self._stats_due = 0.0
        self._sent_stats: Counters | None = None
        self._hits: Counter[str] = Counter()
        self._sent_hits = 0
        self._buffers_due = 0.0
        self._blocked = False
        self._fires = Fires()
        self._drain_until: float | None = None
        self._last_busy = 0.0
        self._limits = Limits()
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
        """Make an isolate in which the platform's bundle has been evaluated, and the event loop for it."""
        isolate = self._isolate = Isolate(
            self._engine,
            heap_mb=max(heap_mb, MIN_HEAP_MB),
            snapshot=self._snapshot,
            on_heap_limit=self._on_heap_limit,
            on_fatal=self._on_fatal,
        )
        if self._snapshot is None:
            isolate.evaluate(self._platform, _RESOURCE)
        native = self._native = isolate.evaluate("({})", _RESOURCE)
        self._engine.enable(STRINGREF)
        ring = isolate.evaluate(_MAKE_RING, _RESOURCE)
        self._engine.disable(STRINGREF)
        for name in _BUFFERS:
            isolate.set(native, name, isolate.get(ring, name))
        extras = self._engine.context_extras(isolate.context)
        for name in ("get", "set"):
            function = isolate.get(extras, f"{name}ContinuationPreservedEmbedderData")
            isolate.set(native, f"{name}Continuation", function)
        read, write, scratch = (isolate.buffer(isolate.get(native, name)) for name in _BUFFERS)
        self._ring = Ring(
            (read, write),
            run_microtasks=isolate.run_microtasks,
            run_tasks=isolate.run_tasks,
            on_frames=self._on_frames,
            on_due=self._on_due,
            connect=self._connect,
        )
        self._operations = Operations(
            scratch,
            flush=self._ring.flush_now,
            run_microtasks=isolate.run_microtasks,
            watch=self._ring.watch,
            on_done=self._ring.tell_done,
        )
        isolate.set(native, "poll", isolate.function(self._guarded(self._ring.poll)))
        isolate.set(native, "call", isolate.function(self._guarded(self._operations.call)))
        modules = self._modules = Modules(isolate, platform_values=lambda: isolate.get(native, "values"))
        isolate.set(native, "importModule", modules.import_module)
        self._operations.read = modules.read
        self._operations.require = lambda name: isolate.set(native, "required", modules.builtin(name))
        script = isolate.global_object
        self._boot_script = isolate.get(script, "__brrrd_boot")
        self._parse = isolate.get(isolate.get(script, "JSON"), "parse")
        prepare = isolate.get(script, "__brrrd_prepare")
        self._rehearsal = isolate.call(prepare, native) if isolate.is_object(prepare) else None
        if self._rehearsal is not None:
            self._watch_rejections()

    def _rehearse(self) -> None:
        """While no app is known: what a request would be the first to do is done. Raises `RehearsalError`."""
        isolate, rehearsal = self._isolate, self._rehearsal
        if rehearsal is None:
            return
        load = own_app(self._limits)
        play, main = isolate.get(rehearsal, "play"), isolate.string(load.main)
        self._open(Package(load.directory), load)
        self._configure(load)
        # Nobody is told of this loading, nor of these requests.
        self._loaded, self._stats_due = True, math.inf
        rehearse(self._ring, lambda first: isolate.call(play, *[main] if first else []))
        self._loaded, self._stats_due = False, 0.0
        self._modules.close()
        self._package.close()
        isolate.call(isolate.get(rehearsal, "forget"))

    def _serve(self, load: Load) -> NoReturn:
        self._load_started = time.monotonic()
        self._stats_due = self._load_started + STATS_SECONDS
        if load.limits.memory_mb != self._limits.memory_mb:
            self._ring.close()
            self._isolate.dispose()
            self._prepare(load.limits.memory_mb)
        self._limits = load.limits
        self._link.unblock()
        # Not before: a rehearsal would take what is not for it.
        self._ring.watch(self._link.descriptor, self._on_channel)
        self._confine(load)
        self._ring.busy_since = self._load_started
        self._watchdog = Watchdog(
            limit=(load.limits.wall_ms + WALL_GRACE_MS) / 1000,
            status=EXIT_RETIRED,
            busy_since=lambda: self._ring.busy_since,
            expire=self._on_stuck,
            cpu=cpu_limits(load.limits.cpu_ms, self._ring, self._operations.crypto, self._on_cpu_limit),
        )
        self._watchdog.start()
        Relief(
            descriptor=self._link.descriptor, busy_since=lambda: self._ring.busy_since, relieve=self._on_blocked
        ).start()
        try:
            self._isolate.call(self._boot(load), messages=False)
        except Terminated:
            self._exit(EXIT_RETIRED)
        except JavaScriptError as error:
            self._fail(f"the platform stopped: {error}")
            self._exit(EXIT_BROKEN)
        self._exit(0)

    def _confine(self, load: Load) -> None:
        """Go behind every lock that this machine has, before any code of the app runs and any thread is started."""
        self._ticket = load.ticket
        try:
            self._package = Package(load.directory)
            bound_memory(load.limits.memory_mb)
            sockets = [load.egress_socket, load.cache_socket]
            paths = self._sandbox.enter(self._package.descriptor, sockets, parent=self._zygote)
            self._services = dict(zip((EGRESS, CACHE), paths, strict=True))
        except OSError as error:
            self._fail(f"the host could not be confined: {error}")
            self._exit(EXIT_BROKEN)

    def _boot(self, load: Load) -> Handle:
        """Give the isolate its app and return JavaScript's event loop, a function."""
        isolate = self._isolate
        self._open(self._package, load)
        loop = isolate.call(self._boot_script, self._native, self._configure(load))
        if self._rehearsal is None:
            self._watch_rejections()
        self._ring.tell_time()
        return loop

    def _open(self, package: Package, load: Load) -> None:
        self._package = package
        self._modules.open(
            package,
            Builtins(self._builtins, node=load.node),
            max_bytes=load.limits.module_mb << 20,
            on_too_large=lambda message: self._hit("module_mb", message),
        )

    def _configure(self, load: Load) -> Handle:
        """Return what JavaScript is told of its app."""
        return self._isolate.call(self._parse, self._isolate.string(boot_config(load, self._version)))

    def _watch_rejections(self) -> None:
        isolate = self._isolate
        hooks = [isolate.get(self._native, name) for name in ("onRejected", "onHandled")]
        if all(isolate.is_object(hook) for hook in hooks):
            isolate.on_rejection(*map(isolate.keep, hooks))

    def _guarded(self, call: Callable[[], None]) -> Callable[[int], None]:
        """Return `call` for V8, such that an exception ends the process: it must not unwind into V8."""

        def guarded(_info: int) -> None:
            try:
                call()
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
            self._send_stats()
        if self._ring.counters != self._sent_stats or self._hits.total() != self._sent_hits:
            until = self._stats_due
        if self._link.pending:
            self._link.flush()
            until = min(until, now + 0.05)
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

    def _send_stats(self) -> None:
        """Send the counters if they changed."""
        counters = self._ring.counters
        self._send_dropped()
        if counters == self._sent_stats and self._hits.total() == self._sent_hits:
            return
        self._sent_stats = counters
        self._sent_hits = self._hits.total()
        self._link.send(
            HostStats(
                requests=counters.requests,
                active=counters.active,
                queued=counters.queued,
                refused=counters.refused,
                exceptions=counters.exceptions,
                heap_bytes=self._isolate.heap_bytes(),
                limits=dict(self._hits),
                websockets=counters.websockets,
            ),
            droppable=True,
        )

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
                self._log(level, frame.head.decode("latin-1"), frame.data)
            elif frame.type == wire.Type.LIMIT:
                request_id, _, limit = frame.head.decode("latin-1").partition("\n")
                self._hits[limit] += 1
                if frame.data:
                    self._log("warn", request_id, frame.data)
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

    def _log(self, level: str, request_id: str, text: bytes) -> None:
        if self._log_budget.admits(min(len(text), MAX_LINE_BYTES), time.monotonic()):
            line = text[:MAX_LINE_BYTES].decode("utf-8", "replace")
            sent = self._link.send(Log(time.time(), level, request_id, line), droppable=True)
            self._log_budget.dropped += not sent

    def _send_dropped(self) -> None:
        dropped = self._log_budget.take_dropped()
        if dropped:
            self._hits["log_volume"] += dropped
            self._link.send(
                Log(
                    time.time(),
                    "warn",
                    "",
                    f"{dropped} log lines were dropped: over 1 MB at once, or 256 KB per second (limit log_volume)",
                )
            )

    # -- ends

    def _hit(self, limit: str, message: str) -> None:
        """Count a limit that does not end the host, and tell the app's owner."""
        self._hits[limit] += 1
        self._log("warn", "", message.encode())

    def _fail(self, message: str) -> None:
        """Tell the app's owner, and the supervisor if it waits for the load, what broke."""
        self._link.send(Log(time.time(), "error", "", message))
        if not self._loaded:
            self._link.send(LoadFailed(message))

    def _retire(self, limit: str, message: str) -> None:
        """Report a limit that was hit, once. Called from any thread, also within V8."""
        if self._ending:
            return
        self._ending = True
        report: FromHost = Retiring(limit, message) if self._loaded else LoadFailed(message)
        self._link.send(Log(time.time(), "error", "", message))
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
            message = f"A buffer could not be had: the limit memory_mb = {self._limits.memory_mb} is used up"
            now = time.monotonic()
            if now >= self._buffers_due:  # V8 asks again and again for the same buffer
                self._buffers_due = now + STATS_SECONDS
                self._hit("memory_mb", message)
            return current
        self._retire("memory_mb", self._memory_message("the heap is full"))
        self._isolate.terminate()
        self._watchdog.end_soon()
        return current + HEAP_GRACE_BYTES

    def _on_fatal(self, reason: str, out_of_memory: bool) -> None:
        """V8 is about to abort the process: say why, and spare the core dump."""
        if out_of_memory:
            self._retire("memory_mb", self._memory_message(reason))
            self._exit(EXIT_RETIRED)
        self._fail(f"V8 failed: {reason}")
        self._exit(EXIT_BROKEN)

    def _memory_message(self, reason: str) -> str:
        return f"out of memory (limit memory_mb = {self._limits.memory_mb}): {reason}; the isolate was ended"

    def _exit(self, status: int) -> NoReturn:
        self._send_dropped()
        self._link.flush(seconds=1.0)
        os._exit(status)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0
