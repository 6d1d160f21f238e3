"""Modules whose default export is a value: JSON, text, bytes and WebAssembly of the package.

Called by `isolates.v8.modules` with a file's content. A value is made when its module is loaded, so that a file that is
not what it is imported as refuses the build, and is exported once its graph is linked.
"""

import ctypes

from isolates.v8.errors import JavaScriptError
from isolates.v8.isolate import Handle, Isolate
from isolates.v8.specifiers import Kind, ResolutionError, Target
from isolates.v8.symbols import SYNTHETIC_STEPS_CALLBACK

_BOM = b"\xef\xbb\xbf"

# Taken before any code of the app runs, which may replace what it finds.
_MAKERS = """(() => {
  const { parse } = JSON;
  const { Module } = WebAssembly;
  const Buffer = ArrayBuffer, Bytes = Uint8Array;
  return {
    json: (text) => parse(text),
    wasm: (bytes) => new Module(bytes),
    buffer: (size) => new Buffer(size),
    bytes: (buffer) => new Bytes(buffer),
  };
})()"""


class Values:
    """Makes values, and the modules that export them."""

    def __init__(self, isolate: Isolate) -> None:
        self._isolate = isolate
        makers = isolate.evaluate(_MAKERS, "brrrd:host")
        self._json, self._wasm, self._buffer, self._bytes = (
            isolate.keep(isolate.get(makers, name)) for name in ("json", "wasm", "buffer", "bytes")
        )
        self._default = isolate.keep(isolate.string("default"))
        self._evaluated = isolate.keep(isolate.evaluate("Promise.resolve()", "brrrd:host"))
        self._steps = SYNTHETIC_STEPS_CALLBACK(self._evaluate)

    def make(self, target: Target, content: bytes) -> Handle:
        """Return the value of a file. Raises `ResolutionError` if it is not of that kind, and `Terminated`."""
        isolate = self._isolate
        try:
            if target.kind is Kind.JSON:
                return isolate.call(self._json, isolate.string(content.removeprefix(_BOM)))
            if target.kind is Kind.TEXT:
                return isolate.string(content.removeprefix(_BOM))
            buffer = isolate.call(self._buffer, isolate.string(str(len(content))))
            if content:
                isolate.buffer(buffer)[:] = content
            if target.kind is Kind.BUFFER:
                return buffer
            return isolate.call(self._wasm if target.kind is Kind.WASM else self._bytes, buffer)
        except JavaScriptError as error:
            raise ResolutionError(f"Cannot import '{target.path}' as {target.kind.value}: {error.message}") from None

    def module(self, name: str) -> Handle:
        """Return a module with a default export that `export` is to set once it is linked."""
        isolate, engine = self._isolate, self._isolate.engine
        names = (ctypes.c_void_p * 1)(self._default)
        span = (ctypes.c_size_t * 2)(ctypes.addressof(names), 1)
        steps = ctypes.cast(self._steps, ctypes.c_void_p).value
        handle: Handle = engine.synthetic_module(isolate.pointer, isolate.string(name), ctypes.addressof(span), steps)
        return handle

    def export(self, module: Handle, value: Handle) -> None:
        """Set the default export of a linked module."""
        self._isolate.engine.set_module_export(module, self._isolate.pointer, self._default, value)

    def _evaluate(self, _context: Handle, _module: Handle) -> Handle:
        """V8's evaluation of such a module, by then complete, as a promise."""
        return self._evaluated
