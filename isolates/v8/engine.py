"""V8 in this process: finds its library, checks that it is the expected one, binds `SYMBOLS` and initialises it.

Used by the zygote, once, before it forks hosts, and by whatever calls V8 with the `Engine` that it made.
"""

import ctypes
import importlib.metadata
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from isolates.v8.errors import EngineError
from isolates.v8.symbols import DISTRIBUTION, SYMBOLS, VERSION

STRINGREF = "experimental-wasm-stringref"
FLAGS = ("--single-threaded", "--no-freeze-flags-after-init")
"""No V8 thread: the zygote forks after V8 is initialised, and threads do not survive a fork. Flags stay open because
`STRINGREF`, with which the platform reads and writes UTF-8 natively, is on only until it has made its buffers."""
_BRIEF = ("try_catch_init", "try_catch_drop", "function_call")


class Engine:
    """V8, initialised in this process, with each of `SYMBOLS` as a method.

    Every method lets go of the GIL while it runs, so that a watchdog thread can act while JavaScript does.
    """

    def __init__(self, folder: Path, flags: tuple[str, ...]) -> None:
        library = _load(folder)
        for name, (symbol, result, arguments) in SYMBOLS.items():
            setattr(self, name, ctypes.CFUNCTYPE(result, *arguments)(_address(library, symbol)))
        self.brief: dict[str, Callable[..., Any]] = {
            name: ctypes.PYFUNCTYPE(SYMBOLS[name][1], *SYMBOLS[name][2])(_address(library, SYMBOLS[name][0]))
            for name in _BRIEF
        }
        """Some of the methods once more, which keep the GIL: cheaper, for calls that take a microsecond."""
        self.init_v8(" ".join(flags).encode(), str(folder / "icudtl.dat").encode())
        self.name = "V8 " + self.version().decode()
        self.platform = self.current_platform()
        self.handle_level_offset = self._find_handle_level()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        raise AttributeError(name)

    def __repr__(self) -> str:
        return f"<Engine {self.name}>"

    def enable(self, flag: str) -> None:
        """Switch one of V8's boolean flags on."""
        self.set_flags(f"--{flag}".encode())

    def disable(self, flag: str) -> None:
        """Switch one of V8's boolean flags off."""
        self.set_flags(f"--no-{flag}".encode())

    def _find_handle_level(self) -> int:
        """Return where an isolate keeps its handle scope's nesting level (a 32-bit integer), in bytes.

        Opening a handle scope is inline in V8's headers, so no symbol does it. `SealHandleScope` reads the fields
        beside the level: given a block of counting words instead of an isolate, it tells where they are.
        """
        words = (ctypes.c_uint32 * 4096)(*range(4096))
        scope = (ctypes.c_uint32 * 16)()
        self.seal_handle_scope(ctypes.addressof(scope), ctypes.addressof(words))
        sealed_level = scope[4]
        if not 0 < sealed_level < 4096 or words[sealed_level] != sealed_level - 1:
            raise EngineError(f"{DISTRIBUTION} {VERSION} keeps handle scopes in an unknown way on this machine")
        return int(sealed_level - 1) * 4


_engine: Engine | None = None


def start(flags: tuple[str, ...] = FLAGS) -> Engine:
    """Initialise V8 once in this process and return it; later calls return the same engine.

    Raises `EngineError` if the installed library is not the one this code was written for.
    """
    global _engine
    if _engine is None:
        _engine = Engine(_find(), flags)
    return _engine


def check() -> None:
    """Raise `EngineError` unless the library is there with every symbol. Does not initialise V8."""
    library = _load(_find())
    for symbol, _, _ in SYMBOLS.values():
        _address(library, symbol)


def _find() -> Path:
    """Return the folder of the library without importing mini-racer's Python, which would load asyncio."""
    advice = f"install exactly {DISTRIBUTION}=={VERSION}"
    try:
        version = importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        raise EngineError(f"{DISTRIBUTION} is not installed: {advice}") from None
    if version != VERSION:
        raise EngineError(f"{DISTRIBUTION} {version} is installed, and its V8 has other symbols: {advice}")
    spec = importlib.util.find_spec("py_mini_racer")
    if spec is None or spec.origin is None:
        raise EngineError(f"{DISTRIBUTION} {version} has no files: {advice}")
    return Path(spec.origin).parent


def _load(folder: Path) -> ctypes.CDLL:
    path = folder / "libmini_racer.so"
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise EngineError(f"cannot load V8 from {path}: {error}") from None


def _address(library: ctypes.CDLL, symbol: str) -> int:
    try:
        address = ctypes.cast(getattr(library, symbol), ctypes.c_void_p).value
    except AttributeError:
        raise EngineError(
            f"V8's symbol {symbol} is missing: install {DISTRIBUTION}=={VERSION} from PyPI for Linux x86-64"
        ) from None
    assert address is not None
    return address
