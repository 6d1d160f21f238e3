"""An isolate with the web platform in it, and what the platform runs on: the event loop, operations, modules.

Made by the host while no app is known, as far as one need not be; then it is given the app. Must know nothing of the
supervisor: what the platform has to say arrives at the functions that the host gives.
"""

import socket
from collections.abc import Callable, Mapping
from typing import NamedTuple

from isolates.block_pool import BlockPool
from isolates.boot_config import boot_config
from isolates.buffers import BUFFER_BYTES
from isolates.messages import Limits, Load
from isolates.operations import Operations
from isolates.package import Package
from isolates.rehearsal import own_app, rehearse
from isolates.ring import Ring
from isolates.spare_memory import RUNS, SpareMemory
from isolates.v8.builtins import Builtins
from isolates.v8.engine import STRINGREF, Engine
from isolates.v8.isolate import Handle, Isolate
from isolates.v8.modules import Modules
from isolates.v8.page_runs import PageRuns
from isolates.v8.snapshot import Snapshot

MIN_HEAP_MB = 16
_RESOURCE = "brrrd:host"
_MAKE_RING = f"""(() => {{
  const make = globalThis.__brrrd_ring;
  delete globalThis.__brrrd_ring;
  const buffer = () => new ArrayBuffer({BUFFER_BYTES});
  return make ? make() : {{ input: buffer(), output: buffer(), scratch: buffer() }};
}})()"""
"""The platform may make the buffers itself, as memories of a WebAssembly module that can code UTF-8 natively."""
_BUFFERS = ("input", "output", "scratch")


class Origin(NamedTuple):
    """What every isolate of a zygote is made of."""

    engine: Engine
    script: bytes
    """The platform's bundle."""
    snapshot: Snapshot | None
    """Taken after `script` was evaluated; None: each isolate evaluates it."""
    modules: Mapping[str, bytes]
    """Sources of the built-in modules."""
    version: str
    """brrrd's, which apps are told."""


class PlatformIsolate:
    """Of `heap_mb` (at least `MIN_HEAP_MB`); `on_heap_limit` and `on_fatal` are as in `Isolate`."""

    def __init__(
        self,
        origin: Origin,
        heap_mb: int,
        *,
        on_heap_limit: Callable[[int], int],
        on_fatal: Callable[[str, bool], None],
    ) -> None:
        self.isolate = Isolate(
            origin.engine,
            heap_mb=max(heap_mb, MIN_HEAP_MB),
            snapshot=origin.snapshot,
            on_heap_limit=on_heap_limit,
            on_fatal=on_fatal,
        )
        self.ring: Ring
        self.operations: Operations
        self.blocks: BlockPool
        self.spare: SpareMemory
        self._origin = origin
        self._native: Handle
        self._modules: Modules
        self._boot_script: Handle
        self._parse: Handle
        self._rehearsal: Handle | None

    def __repr__(self) -> str:
        return f"<PlatformIsolate {self.isolate!r}>"

    def prepare(
        self,
        *,
        guarded: Callable[[Callable[[], None]], Callable[[int], None]],
        on_frames: Callable[[memoryview], None],
        on_due: Callable[[float], float],
        connect: Callable[[int], socket.socket],
    ) -> None:
        """Do all of boot for which no app need be known.

        `guarded` makes of a function one that V8 may call: an exception must not unwind into it. The others are as in
        `Ring`.
        """
        isolate = self.isolate
        if self._origin.snapshot is None:
            isolate.evaluate(self._origin.script, _RESOURCE)
        native = self._native = isolate.evaluate("({})", _RESOURCE)
        read, write, scratch = self._make_buffers()
        self._share_continuations()
        ring = self.ring = Ring(
            (read, write),
            run_microtasks=isolate.run_microtasks,
            run_tasks=isolate.run_tasks,
            on_frames=on_frames,
            on_due=on_due,
            connect=connect,
        )
        self.blocks = BlockPool(isolate)
        self.spare = SpareMemory(PageRuns(isolate, RUNS))
        operations = self.operations = Operations(
            scratch,
            flush=ring.flush_now,
            run_microtasks=isolate.run_microtasks,
            collect=isolate.collect_young,
            watch=ring.watch,
            on_done=ring.tell_done,
            blocks=self.blocks,
            region=ring.region,
            show=lambda value: isolate.set(native, "block", value),
        )
        isolate.set(native, "poll", isolate.function(guarded(ring.poll)))
        isolate.set(native, "call", isolate.function(guarded(operations.call)))
        modules = self._modules = Modules(isolate, platform_values=lambda: isolate.get(native, "values"))
        isolate.set(native, "importModule", modules.import_module)
        operations.read = modules.read
        operations.require = lambda name: isolate.set(native, "required", modules.builtin(name))
        self._prepare_platform()

    def rehearse(self, limits: Limits) -> None:
        """What a request would be the first to do is done, if the platform can be rehearsed. Raises `RehearsalError`.

        The caller sees to it that nobody is told of the app that is loaded for this.
        """
        isolate, rehearsal = self.isolate, self._rehearsal
        if rehearsal is None:
            return
        load = own_app(limits)
        play, main = isolate.get(rehearsal, "play"), isolate.string(load.main)
        package = Package(load.directory)
        self._open(package, load, lambda _message: None)
        self._configure(load)
        self.ring.tell_time()
        rehearse(self.ring, lambda first: isolate.call(play, *[main] if first else []))
        self._modules.close()
        package.close()
        isolate.call(isolate.get(rehearsal, "forget"))

    def boot(self, package: Package, load: Load, on_too_large: Callable[[str], None]) -> Handle:
        """Give the isolate its app and return JavaScript's event loop, a function.

        `on_too_large(message)` is called when a module is over the limit `module_mb`.
        """
        self._open(package, load, on_too_large)
        # Timers that the app sets while it is loaded count from now.
        self.ring.tell_time()
        loop = self.isolate.call(self._boot_script, self._native, self._configure(load))
        if self._rehearsal is None:
            self._watch_rejections()
        return loop

    def dispose(self) -> None:
        """Let go of everything, for one with another heap."""
        self.ring.close()
        self.isolate.dispose()

    def _make_buffers(self) -> list[memoryview]:
        """Give JavaScript the buffers that it shares with Python; return them in the order of `_BUFFERS`."""
        isolate, engine = self.isolate, self._origin.engine
        engine.enable(STRINGREF)
        made = isolate.evaluate(_MAKE_RING, _RESOURCE)
        engine.disable(STRINGREF)
        for name in _BUFFERS:
            isolate.set(self._native, name, isolate.get(made, name))
        return [isolate.buffer(isolate.get(self._native, name)) for name in _BUFFERS]

    def _share_continuations(self) -> None:
        """Give JavaScript what AsyncLocalStorage is made of, which V8 shows to embedders only."""
        isolate = self.isolate
        extras = self._origin.engine.context_extras(isolate.context)
        for name in ("get", "set"):
            function = isolate.get(extras, f"{name}ContinuationPreservedEmbedderData")
            isolate.set(self._native, f"{name}Continuation", function)

    def _prepare_platform(self) -> None:
        isolate = self.isolate
        script = isolate.global_object
        self._boot_script = isolate.get(script, "__brrrd_boot")
        self._parse = isolate.get(isolate.get(script, "JSON"), "parse")
        prepare = isolate.get(script, "__brrrd_prepare")
        self._rehearsal = isolate.call(prepare, self._native) if isolate.is_object(prepare) else None
        if self._rehearsal is not None:
            self._watch_rejections()

    def _open(self, package: Package, load: Load, on_too_large: Callable[[str], None]) -> None:
        self._modules.open(
            package,
            Builtins(self._origin.modules, node=load.node),
            max_bytes=load.limits.module_mb << 20,
            on_too_large=on_too_large,
        )

    def _configure(self, load: Load) -> Handle:
        """Return what JavaScript is told of its app."""
        return self.isolate.call(self._parse, self.isolate.string(boot_config(load, self._origin.version)))

    def _watch_rejections(self) -> None:
        isolate = self.isolate
        hooks = [isolate.get(self._native, name) for name in ("onRejected", "onHandled")]
        if all(isolate.is_object(hook) for hook in hooks):
            isolate.on_rejection(*map(isolate.keep, hooks))
