"""What V8 calls when it ends the process without asking the isolate: its allocator has no memory left, or it gives up.

An isolate's own callbacks hear of a full heap only. An ArrayBuffer whose pages the kernel refuses, though the address
space for them is there, ends in the allocator (PartitionAlloc), which traps; an array that is longer than V8 can make
one, or a check that fails, traps as well. Used by `isolate.py`.
"""

import ctypes
import os
import struct
from typing import Any

from isolates.v8.engine import Engine

_CALLER_AT = 0x32233B0 - 0x3030BB0
"""From `set_print_stack_trace` on: the allocator's function that calls what is to be called without memory, if there is
something. What sets that is not in the library."""
_CALLER = struct.Struct("<7si10s")
_BEFORE, _BEHIND = bytes.fromhex("554889e5488b05"), bytes.fromhex("4885c074035dffe05dc3")
"""Its code, around where the variable is, counted from the end of the instruction that loads it."""
_LOADED_AT = 11


def listen(engine: Engine, no_memory: int, giving_up: int) -> bool:
    """Have the C functions at these addresses called, without arguments; they must not return to V8.

    Returns whether `no_memory` will be: with a build of V8 for another C library, whose code lies elsewhere, it is not.
    """
    setter: Any = engine.set_print_stack_trace
    setter(giving_up)
    caller = (ctypes.cast(setter, ctypes.c_void_p).value or 0) + _CALLER_AT
    before, offset, behind = _CALLER.unpack(_read(caller, _CALLER.size))
    if (before, behind) != (_BEFORE, _BEHIND):
        return False
    ctypes.c_void_p.from_address(caller + _LOADED_AT + offset).value = no_memory
    return True


def _read(address: int, size: int) -> bytes:
    """Memory of this process; zeros where there is none."""
    descriptor = os.open("/proc/self/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(descriptor, size, address).ljust(size, b"\0")
    except OSError:
        return bytes(size)
    finally:
        os.close(descriptor)
