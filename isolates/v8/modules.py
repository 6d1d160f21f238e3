"""ES modules of one package: static imports, `import()`, top-level await and `import.meta.url`.

A module's name is `file:///` and its path within the package, or that of a module of the platform (`node:fs`).
`isolates.v8.specifiers` says what may be imported. No symbolic link leads out of the package.
"""

import ctypes
import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from isolates.package import FileTooLarge, Package
from isolates.v8.builtins import PLATFORM_VALUES, Builtins
from isolates.v8.errors import JavaScriptError, Terminated
from isolates.v8.isolate import Handle, Isolate, report_callback_failure
from isolates.v8.specifiers import HOST, ROOT, Kind, ResolutionError, Target, resolve
from isolates.v8.symbols import IMPORT_CALLBACK, IMPORT_META_CALLBACK, RESOLVE_CALLBACK, Source
from isolates.v8.values import Values

HOST_SCRIPT = "brrrd:host"
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


@dataclass
class Module:
    """A module with those it imports, in the order of its import statements."""

    target: Target
    handle: Handle
    value: Handle | None = None
    """The default export of a module that is one value."""
    imports: list["Module"] = field(default_factory=list)

    @property
    def is_script(self) -> bool:
        return self.value is None


class Modules:
    """The modules of `package`, loaded into `isolate` when they are imported.

    `platform_values()` returns what `PLATFORM_VALUES` exports. A file of more than `max_bytes` is refused:
    `on_too_large(message)` is called, and the import fails with that.
    """

    def __init__(self, isolate: Isolate, *, platform_values: Callable[[], Handle]) -> None:
        self._isolate = isolate
        self._engine = isolate.engine
        self._platform_values = platform_values
        self._by_target: dict[Target, Module] = {}
        self._by_script: dict[int, Module] = {}
        self._unset: list[Module] = []
        """Modules that are values and not exported yet."""
        self._values = Values(isolate)
        bridge = isolate.evaluate(_BRIDGE, HOST_SCRIPT)
        self.import_module = isolate.keep(isolate.get(bridge, "importModule"))
        """A function `(specifier) => Promise<namespace>` for the host's JavaScript half."""
        self._settle = isolate.keep(isolate.get(bridge, "settle"))
        self._locate = isolate.keep(isolate.get(bridge, "locate"))
        self._resolve_callback = RESOLVE_CALLBACK(self._on_resolve)
        self._import_callback = IMPORT_CALLBACK(self._on_import)
        self._meta_callback = IMPORT_META_CALLBACK(self._on_import_meta)
        self._engine.set_import_callback(isolate.pointer, self._address(self._import_callback))
        self._engine.set_import_meta_callback(isolate.pointer, self._address(self._meta_callback))

    def open(
        self, package: Package, builtins: Builtins, *, max_bytes: int, on_too_large: Callable[[str], None]
    ) -> None:
        """Say whose modules these are, before anything is imported: a host waits for its app with all else
        in place, since what is done then is not done while a request waits."""
        self._package = package
        self._builtins = builtins
        self._max_bytes = max_bytes
        self._on_too_large = on_too_large

    def close(self) -> None:
        """Forget what was imported: it was not the app's, which may be opened now."""
        for module in self._by_target.values():
            self._isolate.drop(module.handle)
        self._by_target.clear()
        self._by_script.clear()

    def __repr__(self) -> str:
        return f"<Modules: {len(self._by_target)} loaded>"

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

    def _load(self, target: Target) -> Module:
        """Compile a module and, in turn, all that it imports. Raises `JavaScriptError` or `ResolutionError`."""
        known = self._by_target.get(target)
        if known is not None:
            return known
        added: list[Module] = []
        try:
            first = self._add(target, added)
            waiting = [first]
            while waiting:
                module = waiting.pop()
                for request in self._requests(module):
                    imported = self._imported(module, request, added, waiting)
                    module.imports.append(imported)
        except BaseException:
            # A graph that did not load leaves nothing behind: a later import tries again.
            for module in added:
                del self._by_target[module.target]
                if module.is_script:
                    del self._by_script[self._engine.module_script_id(module.handle)]
                self._isolate.drop(module.handle)
            raise
        self._unset += [module for module in added if not module.is_script]
        return first

    def _imported(self, module: Module, request: "_Request", added: list[Module], waiting: list[Module]) -> Module:
        """Return the module that one import statement of `module` means."""
        try:
            target = resolve(request.specifier, module.target, request.attribute, self._builtins)
            imported = self._by_target.get(target)
            if imported is None:
                imported = self._add(target, added)
                waiting.append(imported)
        except ResolutionError as error:
            path = module.target.path
            message = f"{error} (imported from {path})"
            raise JavaScriptError(message, file=path, line=request.line, column=request.column) from None
        return imported

    def _add(self, target: Target, added: list[Module]) -> Module:
        isolate = self._isolate
        if target.kind is Kind.SCRIPT:
            module = Module(target, isolate.keep(self._compile(target, self.read(target.path))))
        elif target.kind is not Kind.BUILTIN:
            value = self._values.make(target, self.read(target.path))
            module = Module(target, isolate.keep(self._values.module(target.url)), value)
        elif target.path == PLATFORM_VALUES:
            module = Module(target, isolate.keep(self._values.module(target.url)), self._platform_values())
        else:
            module = Module(target, isolate.keep(self._compile(target, self._builtins.source(target.path))))
        self._by_target[target] = module
        if module.is_script:
            self._by_script[self._engine.module_script_id(module.handle)] = module
        added.append(module)
        return module

    def _compile(self, target: Target, text: bytes) -> Handle:
        isolate = self._isolate
        text = text.removeprefix(b"\xef\xbb\xbf")
        source = Source(source_string=isolate.string(text), resource_name=isolate.string(target.url), options=_MODULE)
        with isolate.catch() as caught:
            handle: Handle | None = self._engine.compile_module(isolate.pointer, ctypes.addressof(source), 0, 0)
            if handle is None:
                raise caught.error()
            return handle

    def _requests(self, module: Module) -> list["_Request"]:
        """Return the imports of a module."""
        if not module.is_script:
            return []
        engine = self._engine
        requests = engine.module_requests(module.handle)
        found = []
        for index in range(engine.fixed_array_length(requests)):
            request = engine.fixed_array_get(requests, index)
            specifier = self._isolate.text(engine.request_specifier(request))
            attribute = self._type(engine.request_attributes(request), 3)
            place = engine.module_offset_location(module.handle, engine.request_offset(request))
            found.append(_Request(specifier, attribute, (place & 0xFFFFFFFF) + 1, (place >> 32) + 1))
        return found

    def _type(self, attributes: Handle, step: int) -> str | None:
        """Return the attribute `type` of an import. `attributes` holds `step` values for each: key, value, …"""
        engine, text = self._engine, self._isolate.text
        for index in range(0, engine.fixed_array_length(attributes), step):
            if text(engine.fixed_array_get(attributes, index)) == "type":
                return text(engine.fixed_array_get(attributes, index + 1))
        return None

    # -- callbacks from V8; an exception must not leave them

    def _on_resolve(self, _context: Handle, index: int, referrer: Handle) -> Handle | None:
        return self._by_script[self._engine.module_script_id(referrer)].imports[index].handle

    def _on_import_meta(self, context: Handle, module: Handle, meta: Handle) -> None:
        known = self._by_script.get(self._engine.module_script_id(module))
        if known is not None:
            key = self._isolate.string("url")
            self._engine.create_data_property(meta, context, key, self._isolate.string(known.target.url))

    def _on_import(self, _context: Handle, _options: Any, resource: Handle, specifier: Handle, attributes: Any) -> Any:
        try:
            referrer = _referrer(self._isolate.text(resource), self._builtins)
            return self._import(self._isolate.text(specifier), referrer, self._type(attributes, 2))
        except Terminated:
            return None
        except Exception as error:  # at the door to V8
            report_callback_failure("import()", error)
            return None

    def _import(self, specifier: str, referrer: Target, attribute: str | None) -> Handle:
        """Return the promise of `import(specifier)`."""
        isolate = self._isolate
        try:
            module = self._load(resolve(specifier, referrer, attribute, self._builtins))
            self._link(module)
        except ResolutionError as error:
            return self._rejected(JavaScriptError(str(error)))
        except JavaScriptError as error:
            return self._rejected(error)
        evaluation = self._evaluate(module, report_place=referrer == HOST)
        return isolate.call(self._settle, evaluation, self._engine.module_namespace(module.handle))

    def builtin(self, name: str) -> Handle:
        """Return the namespace of a `node:` module of the platform, evaluated now, for its `require`.

        Raises `LookupError` if the app has none of that name.
        """
        module = self._load(resolve(name, Target(Kind.SCRIPT, "main"), None, self._builtins))
        if module.target.kind is not Kind.BUILTIN:
            raise ResolutionError(f"Cannot find module '{name}'")
        self._link(module)
        self._evaluate(module, report_place=False)
        namespace: Handle = self._engine.module_namespace(module.handle)
        return namespace

    def _link(self, module: Module) -> None:
        with self._isolate.catch() as caught:
            linked = self._engine.instantiate_module(
                module.handle, self._isolate.context, self._address(self._resolve_callback), None
            )
            if not linked & 1:
                raise caught.error()
        unset, self._unset = self._unset, []
        for value_module in unset:
            assert value_module.value is not None
            self._values.export(value_module.handle, value_module.value)

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


class _Request(NamedTuple):
    """One import of a module, with its place (both from 1)."""

    specifier: str
    attribute: str | None
    line: int
    column: int


def _referrer(resource: str, builtins: Builtins) -> Target:
    """Return the module that a resource name means; any other script is the host's."""
    if resource.startswith(ROOT):
        return Target(Kind.SCRIPT, resource.removeprefix(ROOT))
    return Target(Kind.BUILTIN, resource) if resource in builtins else HOST
