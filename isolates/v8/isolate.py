"""One V8 isolate with one context, entered on the calling thread for the rest of the process's life.

A handle (`Handle`) is the address of a slot that V8's garbage collector keeps up to date: it is valid until the
callback from JavaScript in which it was obtained returns, or for good if obtained outside any callback or through
`keep`. All methods except `terminate` belong to the thread that created the isolate.
"""

import ctypes
import sys
from collections.abc import Callable
from functools import partial
from types import TracebackType

from isolates.v8 import endings
from isolates.v8.engine import Engine
from isolates.v8.errors import JavaScriptError, Terminated
from isolates.v8.snapshot import Snapshot
from isolates.v8.symbols import (
    ENDING_CALLBACK,
    FATAL_CALLBACK,
    FUNCTION_CALLBACK,
    NEAR_HEAP_LIMIT_CALLBACK,
    OOM_CALLBACK,
    PROMISE_REJECT_CALLBACK,
    CreateParams,
    PointerPair,
    PromiseRejectMessage,
    ScriptOrigin,
)

Handle = int

GAVE_UP = "it met an array or a string of a length that it cannot make, or a fault of its own"
_MEGABYTE = 1 << 20
_YOUNG_BYTES = 24 * _MEGABYTE
"""Three semi-spaces of 8 MB: fewer scavenges than with the least, less memory than with V8's default of 16 MB each."""
_EXPLICIT_MICROTASKS = 0
_KEEP_FRAMES = 0
_REJECTED_WITHOUT_HANDLER = 0
_HANDLER_ADDED = 1
_FULL_COLLECTION, _MINOR_COLLECTION = 0, 1
_EXPOSE_GC = "expose-gc"


class Catch:
    """A `v8::TryCatch` around calls into JavaScript: `with isolate.catch() as caught:`, then `raise caught.error()`."""

    def __init__(self, isolate: "Isolate", *, messages: bool = True) -> None:
        self._isolate = isolate
        self._block = (ctypes.c_void_p * 16)()
        self._address = ctypes.addressof(self._block)
        self._messages = messages

    def __enter__(self) -> "Catch":
        engine = self._isolate.engine
        engine.try_catch_init(self._address, self._isolate.pointer)
        if not self._messages:
            engine.try_catch_capture_message(self._address, False)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._isolate.engine.try_catch_drop(self._address)

    @property
    def terminated(self) -> bool:
        """Whether execution was ended from outside, rather than by an exception."""
        return bool(self._isolate.engine.try_catch_has_terminated(self._address))

    @property
    def exception(self) -> Handle | None:
        """The value that was thrown, if any."""
        if not self._isolate.engine.try_catch_has_caught(self._address):
            return None
        value: Handle | None = self._isolate.engine.try_catch_exception(self._address)
        return value

    def error(self) -> Exception:
        """Return what was thrown as a Python exception."""
        if self.terminated:
            return Terminated()
        value = self.exception
        if value is None:
            return JavaScriptError("JavaScript failed without an exception")
        message = self._isolate.engine.try_catch_message(self._address)
        return self._isolate.describe(value, message)


class Isolate:
    """See the module. `heap_mb` bounds the old generation; what to do at the bound is the caller's.

    `on_heap_limit(bytes)` is called within a garbage collection when the heap reaches the bound and returns a new bound
    in bytes (it normally raises it a little and terminates). `on_fatal(reason, out_of_memory)` is called just before V8
    aborts the process. Neither may call back into JavaScript.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        heap_mb: int,
        snapshot: Snapshot | None,
        on_heap_limit: Callable[[int], int],
        on_fatal: Callable[[str, bool], None],
    ) -> None:
        self.engine = engine
        self._kept: list[object] = [snapshot]
        params = CreateParams()
        engine.create_params_init(ctypes.addressof(params))
        params.max_old_generation_size = heap_mb * _MEGABYTE
        params.max_young_generation_size = _YOUNG_BYTES
        params.allow_atomics_wait = False
        params.array_buffer_allocator = engine.new_default_allocator()
        params.snapshot_blob = snapshot.address if snapshot else None

        def out_of_memory(location: bytes | None, _details: int) -> None:
            on_fatal(f"out of memory in {(location or b'JavaScript').decode(errors='replace')}", True)

        def fatal(location: bytes | None, message: bytes | None) -> None:
            on_fatal(
                f"{(location or b'').decode(errors='replace')}: {(message or b'').decode(errors='replace')}", False
            )

        params.oom_error_callback = self._callback(OOM_CALLBACK(out_of_memory))
        params.fatal_error_callback = self._callback(FATAL_CALLBACK(fatal))
        endings.listen(
            engine,
            no_memory=self._callback(ENDING_CALLBACK(lambda: on_fatal("nothing is left for buffers", True))),
            giving_up=self._callback(ENDING_CALLBACK(lambda: on_fatal(GAVE_UP, False))),
        )
        self.pointer: int = engine.isolate_new(ctypes.addressof(params))
        engine.isolate_enter(self.pointer)
        # An outermost handle scope that is never closed: what `v8::HandleScope` does, inline, is to count its level up.
        ctypes.c_int32.from_address(self.pointer + engine.handle_level_offset).value += 1
        limit = NEAR_HEAP_LIMIT_CALLBACK(lambda _data, current, _initial: on_heap_limit(current))
        engine.add_near_heap_limit_callback(self.pointer, self._callback(limit), None)
        engine.set_microtasks_policy(self.pointer, _EXPLICIT_MICROTASKS)
        nothing = PointerPair()
        self.context: Handle = engine.context_new(self.pointer, None, None, None, nothing, None, nothing, nothing)
        engine.context_enter(self.context)
        self.global_object: Handle = engine.context_global(self.context)
        self.run_microtasks: Callable[[], None] = partial(engine.perform_microtask_checkpoint, self.pointer)
        """Run promise reactions and `queueMicrotask` callbacks until none is left."""
        self.run_tasks: Callable[[], bool] = partial(engine.pump_message_loop, engine.platform, self.pointer, 0)
        """Run one task of V8's own (WebAssembly, finalisation) if one is due; tell whether there was one."""
        self._utf8 = (ctypes.c_void_p * 8)()
        self._heap_statistics = (ctypes.c_size_t * 32)()

    def __repr__(self) -> str:
        return f"<Isolate of {self.engine.name} at {self.pointer:#x}, heap {self.heap_bytes() >> 10} KiB>"

    def dispose(self) -> None:
        """Free the isolate; nothing of it may be used afterwards."""
        self.engine.context_exit(self.context)
        self.engine.isolate_exit(self.pointer)
        self.engine.isolate_dispose(self.pointer)

    def _callback(self, function: "ctypes._CFunctionType") -> int:
        """Keep a C callback alive as long as the isolate and return its address."""
        self._kept.append(function)
        address = ctypes.cast(function, ctypes.c_void_p).value
        assert address is not None
        return address

    # -- values

    def string(self, text: str | bytes) -> Handle:
        """Return a new JavaScript string; bytes are UTF-8."""
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        value: Handle | None = self.engine.string_new(self.pointer, data, 0, len(data))
        if value is None:
            raise JavaScriptError(f"a string of {len(data)} bytes is too long")
        return value

    def text(self, value: Handle) -> str:
        """Return `String(value)`; empty if that throws."""
        block = ctypes.addressof(self._utf8)
        self.engine.utf8_value_init(block, self.pointer, value)
        try:
            address, size = self._utf8[0], self._utf8[1] or 0
            return ctypes.string_at(address, size).decode("utf-8", "replace") if address else ""
        finally:
            self.engine.utf8_value_drop(block)

    def is_object(self, value: Handle) -> bool:
        return bool(self.engine.value_is_object(value))

    def get(self, target: Handle, name: str) -> Handle:
        """Return `target[name]`."""
        with self.catch() as caught:
            value: Handle | None = self.engine.object_get(target, self.context, self.string(name))
            if value is None:
                raise caught.error()
            return value

    def set(self, target: Handle, name: str, value: Handle) -> None:
        """Do `target[name] = value`."""
        with self.catch() as caught:
            if not self.engine.object_set(target, self.context, self.string(name), value) & 1:
                raise caught.error()

    def keep(self, value: Handle) -> Handle:
        """Return a handle to the same value that stays valid as long as the isolate."""
        slot = ctypes.c_size_t.from_address(value).value
        kept: Handle = self.engine.globalize(self.pointer, slot)
        return kept

    def drop(self, kept: Handle) -> None:
        """Let go of a handle that `keep` returned."""
        self.engine.dispose_global(kept)

    def buffer(self, array_buffer: Handle) -> memoryview:
        """Return the bytes of an ArrayBuffer, shared with JavaScript. The caller keeps the ArrayBuffer reachable."""
        address = self.engine.array_buffer_data(array_buffer)
        size = self.engine.array_buffer_length(array_buffer)
        return memoryview((ctypes.c_char * size).from_address(address)).cast("B")

    def function(self, call: Callable[[int], None]) -> Handle:
        """Return a JavaScript function that calls `call` on this thread and returns undefined.

        `call` gets the address of V8's callback info, which is of no use here, rather than pay for a wrapper. It must
        not raise.
        """
        address = self._callback(FUNCTION_CALLBACK(call))
        value: Handle = self.engine.function_new(self.context, address, None, 0, _KEEP_FRAMES, 0)
        return value

    def on_rejection(self, rejected: Handle, handled: Handle) -> None:
        """Have JavaScript functions called about promises that are rejected while nobody listens.

        `rejected(promise, reason)` is called at that moment, in the midst of whatever code runs, and `handled(promise)`
        if somebody listens later. Neither may run code of the app. Both must live as long as the isolate.
        """
        blocks = (ctypes.c_void_p * 2)(), (ctypes.c_void_p * 16)()
        arguments, (address, catch) = blocks[0], map(ctypes.addressof, blocks)
        brief, isolate, context, scope = self.engine.brief, self.pointer, self.context, self.global_object
        enter, leave, function_call = brief["try_catch_init"], brief["try_catch_drop"], brief["function_call"]
        terminated = self.engine.try_catch_has_terminated

        def call(message: PromiseRejectMessage) -> None:
            event = message.event
            if event > _HANDLER_ADDED:
                return  # settled twice, which is of no interest
            arguments[0] = message.promise
            enter(catch, isolate)
            if event == _REJECTED_WITHOUT_HANDLER:
                arguments[1] = message.value
                done = function_call(rejected, context, scope, 2, address)
            else:
                done = function_call(handled, context, scope, 1, address)
            # If it was ended, the code around this would go on: the end was taken for that of the call here. Any other
            # exception, for want of stack, is of no consequence to that code.
            ended = done is None and terminated(catch)
            leave(catch)
            if ended:
                self.terminate()

        self._kept.append(blocks)
        self.engine.set_promise_reject_callback(self.pointer, self._callback(PROMISE_REJECT_CALLBACK(call)))

    # -- running

    def catch(self, *, messages: bool = True) -> Catch:
        """A scope that catches exceptions. Without `messages`, throwing costs less and `error` knows no place."""
        return Catch(self, messages=messages)

    def evaluate(self, source: str | bytes, name: str) -> Handle:
        """Run a classic script and return its completion value.

        Raises `JavaScriptError` if it does not parse or throws, `Terminated` if it was ended.
        """
        origin = ScriptOrigin(resource_name=self.string(name))
        with self.catch() as caught:
            script = self.engine.script_compile(self.context, self.string(source), ctypes.addressof(origin))
            value: Handle | None = self.engine.script_run(script, self.context) if script else None
            if value is None:
                raise caught.error()
            return value

    def call(self, function: Handle, *arguments: Handle, messages: bool = True) -> Handle:
        """Call a function with the global object as `this` and return its result. Raises as `evaluate` does."""
        block = (ctypes.c_void_p * max(len(arguments), 1))(*arguments)
        with self.catch(messages=messages) as caught:
            value: Handle | None = self.engine.function_call(
                function, self.context, self.global_object, len(arguments), ctypes.addressof(block)
            )
            if value is None:
                raise caught.error()
            return value

    def terminate(self) -> None:
        """End whatever JavaScript runs, from any thread."""
        self.engine.terminate_execution(self.pointer)

    def heap_bytes(self) -> int:
        """Return the bytes in use on the JavaScript heap."""
        self.engine.get_heap_statistics(self.pointer, ctypes.addressof(self._heap_statistics))
        return int(self._heap_statistics[4])

    def collect_young(self) -> None:
        """Find what died young, which takes some 0.05 ms. Must be outside JavaScript or in a callback from it."""
        self._collect(_MINOR_COLLECTION)

    def collect_all(self) -> None:
        """As `collect_young`, and what died old, which takes a millisecond per MB of heap or so."""
        self._collect(_FULL_COLLECTION)

    def _collect(self, kind: int) -> None:
        # V8 would have this for tests only. The flag decides, beyond that, what a context has that is made meanwhile.
        self.engine.enable(_EXPOSE_GC)
        self.engine.collect_garbage(self.pointer, kind)
        self.engine.disable(_EXPOSE_GC)

    # -- exceptions

    def describe(self, value: Handle, message: Handle | None = None) -> JavaScriptError:
        """Return a thrown value with the place that V8 knows for it."""
        engine = self.engine
        if message is None:
            message = engine.create_message(self.pointer, value)
        file, line, column = "", 0, 0
        if message:
            resource = engine.message_resource(message)
            file = self.text(resource) if resource else ""
            file = "" if file == "undefined" else file
            maybe_line = engine.message_line(message, self.context)
            line = maybe_line >> 32 if maybe_line & 1 else 0
            column = engine.message_column(message) + 1
        return JavaScriptError(self.text(value), file=file, line=line, column=column, value=value)


def report_callback_failure(where: str, error: BaseException) -> None:
    """Print an exception that must not unwind into V8."""
    print(f"isolate host: {where}: {error!r}", file=sys.stderr, flush=True)
