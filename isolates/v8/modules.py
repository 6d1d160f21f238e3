"""ES modules of one package: static imports, `import()`, top-level await and `import.meta.url`.

A module's name is `file:///` and its path within the package. Specifiers are relative to the importing module
(`./x`, `../x`), to the package (`/x`, `file:///x`), and nothing else: bundlers resolve packages before a build is made.
No path, and no symbolic link, leads out of the package.
"""

import ctypes
import errno
import posixpath
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from isolates.package import FileTooLarge, Package
from isolates.v8.errors import JavaScriptError, Terminated
from isolates.v8.isolate import Handle, Isolate, report_callback_failure
from isolates.v8.symbols import IMPORT_CALLBACK, IMPORT_META_CALLBACK, RESOLVE_CALLBACK, Source

ROOT = "file:///"
HOST = "brrrd:host"
"""Resource name of the host's own script, whose `import(path)` takes a path in the package."""
_MODULE = 8
_REJECTED = 2

_BRIDGE = """(() => {
  const then = Function.prototype.call.bind(Promise.prototype.then);
  const define = Object.defineProperty;
  return {
    importModule: (specifier) => import(specifier),
    settle: (evaluation, namespace) => then(evaluation, () => namespace),
    locate: (error, file, line, column) => {
      const value = { file, line: +line, column: +column };
      try { define(error, "__location", { value, configurable: true }); } catch {}
    },
  };
})()"""


class ResolutionError(LookupError):
    """A specifier that leads to no module of the package."""


@dataclass
class Module:
    """A compiled module with the modules it imports, in the order of its import statements."""

    path: str
    handle: Handle
    imports: list["Module"] = field(default_factory=list)


def resolve(specifier: str, referrer: str) -> str:
    """Return the path within the package that `specifier` means in the module `referrer` (a path; empty: the host).

    Raises `ResolutionError` for bare names, other schemes and paths that leave the package.
    """
    if specifier.startswith(ROOT):
        path = specifier[len(ROOT) :]
    elif specifier.startswith("/"):
        path = specifier[1:]
    elif specifier.startswith(("./", "../")) or not referrer:
        path = posixpath.join(posixpath.dirname(referrer), specifier)
    elif specifier.startswith("node:"):
        raise ResolutionError(f"Cannot find module '{specifier}': Node.js modules are not available to this app")
    else:
        raise ResolutionError(f"Cannot find package '{specifier}': bundle dependencies into the build")
    path = posixpath.normpath(path)
    if path.startswith(("../", "/")) or path in {"..", "."} or "\0" in path:
        raise ResolutionError(f"Cannot import '{specifier}': it is outside the package")
    return path


class Modules:
    """The modules of `package`, loaded into `isolate` when they are imported.

    A file of more than `max_bytes` is refused: `on_too_large(message)` is called, and the import fails with that.
    """

    def __init__(
        self, isolate: Isolate, package: Package, *, max_bytes: int, on_too_large: Callable[[str], None]
    ) -> None:
        self._isolate = isolate
        self._engine = isolate.engine
        self._package = package
        self._max_bytes = max_bytes
        self._on_too_large = on_too_large
        self._by_path: dict[str, Module] = {}
        self._by_script: dict[int, Module] = {}
        bridge = isolate.evaluate(_BRIDGE, HOST)
        self.import_module = isolate.keep(isolate.get(bridge, "importModule"))
        """A function `(specifier) => Promise<namespace>` for the host's JavaScript half."""
        self._settle = isolate.keep(isolate.get(bridge, "settle"))
        self._locate = isolate.keep(isolate.get(bridge, "locate"))
        self._resolve_callback = RESOLVE_CALLBACK(self._on_resolve)
        self._import_callback = IMPORT_CALLBACK(self._on_import)
        self._meta_callback = IMPORT_META_CALLBACK(self._on_import_meta)
        self._engine.set_import_callback(isolate.pointer, self._address(self._import_callback))
        self._engine.set_import_meta_callback(isolate.pointer, self._address(self._meta_callback))

    def __repr__(self) -> str:
        return f"<Modules of {self._package}: {len(self._by_path)} loaded>"

    def read(self, path: str) -> bytes:
        """Return a file of the package. Raises `ResolutionError` if it is not there, not inside, or too large."""
        try:
            return self._package.read(path, self._max_bytes)
        except FileTooLarge as error:
            message = f"{path} has {error}, more than the limit module_mb = {self._max_bytes >> 20} allows"
            self._on_too_large(message)
            raise ResolutionError(message) from None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise ResolutionError(f"Cannot read '{path}': a symbolic link may lead outside the package") from None
            raise ResolutionError(f"Cannot find module '{path}' in the package: {error.strerror}") from None

    @staticmethod
    def _address(callback: "ctypes._CFunctionType") -> int | None:
        return ctypes.cast(callback, ctypes.c_void_p).value

    # -- loading

    def _load(self, path: str) -> Module:
        """Compile a module and, in turn, all that it imports. Raises `JavaScriptError` or `ResolutionError`."""
        known = self._by_path.get(path)
        if known is not None:
            return known
        added: list[Module] = []
        try:
            first = self._compile(path, added)
            waiting = [first]
            while waiting:
                module = waiting.pop()
                for specifier, line, column in self._requests(module):
                    try:
                        name = resolve(specifier, module.path)
                        imported = self._by_path.get(name)
                        if imported is None:
                            imported = self._compile(name, added)
                            waiting.append(imported)
                    except ResolutionError as error:
                        message = f"{error} (imported from {module.path})"
                        raise JavaScriptError(message, file=module.path, line=line, column=column) from None
                    module.imports.append(imported)
        except BaseException:
            # A graph that did not load leaves nothing behind: a later import tries again.
            for module in added:
                del self._by_path[module.path]
                del self._by_script[self._engine.module_script_id(module.handle)]
                self._isolate.drop(module.handle)
            raise
        return first

    def _compile(self, path: str, added: list[Module]) -> Module:
        isolate = self._isolate
        text = self.read(path).removeprefix(b"\xef\xbb\xbf")
        source = Source(source_string=isolate.string(text), resource_name=isolate.string(ROOT + path), options=_MODULE)
        with isolate.catch() as caught:
            handle = self._engine.compile_module(isolate.pointer, ctypes.addressof(source), 0, 0)
            if handle is None:
                raise caught.error()
        module = Module(path, isolate.keep(handle))
        self._by_path[path] = module
        self._by_script[self._engine.module_script_id(module.handle)] = module
        added.append(module)
        return module

    def _requests(self, module: Module) -> list[tuple[str, int, int]]:
        """Return specifier, line and column (from 1) of each import of a module."""
        engine = self._engine
        requests = engine.module_requests(module.handle)
        found = []
        for index in range(engine.fixed_array_length(requests)):
            request = engine.fixed_array_get(requests, index)
            specifier = self._isolate.text(engine.request_specifier(request))
            place = engine.module_offset_location(module.handle, engine.request_offset(request))
            found.append((specifier, (place & 0xFFFFFFFF) + 1, (place >> 32) + 1))
        return found

    # -- callbacks from V8; an exception must not leave them

    def _on_resolve(self, _context: Handle, index: int, referrer: Handle) -> Handle | None:
        return self._by_script[self._engine.module_script_id(referrer)].imports[index].handle

    def _on_import_meta(self, context: Handle, module: Handle, meta: Handle) -> None:
        known = self._by_script.get(self._engine.module_script_id(module))
        if known is not None:
            key = self._isolate.string("url")
            self._engine.create_data_property(meta, context, key, self._isolate.string(ROOT + known.path))

    def _on_import(self, _context: Handle, _options: Any, resource: Handle, specifier: Handle, _attributes: Any) -> Any:
        try:
            referrer = self._isolate.text(resource)
            by_module = referrer.startswith(ROOT)
            return self._import(self._isolate.text(specifier), referrer.removeprefix(ROOT) if by_module else "")
        except Terminated:
            return None
        except Exception as error:  # at the door to V8
            report_callback_failure("import()", error)
            return None

    def _import(self, specifier: str, referrer: str) -> Handle:
        """Return the promise of `import(specifier)`."""
        isolate = self._isolate
        try:
            module = self._load(resolve(specifier, referrer))
            self._link(module)
        except ResolutionError as error:
            return self._rejected(JavaScriptError(str(error)))
        except JavaScriptError as error:
            return self._rejected(error)
        evaluation = self._evaluate(module, report_place=not referrer)
        return isolate.call(self._settle, evaluation, self._engine.module_namespace(module.handle))

    def _link(self, module: Module) -> None:
        with self._isolate.catch() as caught:
            linked = self._engine.instantiate_module(
                module.handle, self._isolate.context, self._address(self._resolve_callback), None
            )
            if not linked & 1:
                raise caught.error()

    def _evaluate(self, module: Module, *, report_place: bool) -> Handle:
        """Return the promise of a module's evaluation. Raises `Terminated`."""
        engine, isolate = self._engine, self._isolate
        promise: Handle | None = engine.evaluate_module(module.handle, isolate.context)
        if promise is None:
            raise Terminated
        if report_place and engine.promise_state(promise) == _REJECTED:
            value = engine.promise_result(promise)
            self._mark_place(value, isolate.describe(value))
        return promise

    def _rejected(self, error: JavaScriptError) -> Handle:
        """Return a promise rejected with the exception behind `error`, or a TypeError with its message."""
        engine, isolate = self._engine, self._isolate
        value: Handle = error.value or engine.type_error(isolate.string(error.message), None)
        self._mark_place(value, error)
        resolver = engine.resolver_new(isolate.context)
        engine.resolver_reject(resolver, isolate.context, value)
        promise: Handle = engine.resolver_promise(resolver)
        return promise

    def _mark_place(self, value: Handle, error: JavaScriptError) -> None:
        """Attach `__location` to a thrown object whose place is known."""
        if error.line and self._isolate.is_object(value):
            place = (error.file.removeprefix(ROOT), str(error.line), str(error.column))
            self._isolate.call(self._locate, value, *map(self._isolate.string, place))
