"""Reads one source map in a process of its own: `python -m runtime.source_map_reader PATH SECONDS`.

Decoding a large map takes seconds and hundreds of megabytes at an app's wish: in the supervisor's process it kept the
event loop waiting for 250 ms (27 MiB). The content comes on standard input; the answer goes to standard output, a byte
that says which kind it is and then the decoded map or what is wrong with it. `read_elsewhere` is the other side.
"""

import asyncio
import os
import resource
import subprocess
import sys
import time

from runtime.source_maps import MAX_MAP_BYTES, SourceMap, SourceMapError

MEMORY_BYTES = 1 << 30
NICENESS = 10
START_SECONDS = 5.0
"""On top of its time, for a busy machine to start it and to pass the result."""
MAP = b"m"
WRONG = b"w"


async def read_elsewhere(content: bytes, path: str, seconds: float) -> SourceMap:
    """As `SourceMap.parse`, in another process, which is killed if the caller is cancelled. Raises `SourceMapError`."""
    if len(content) > MAX_MAP_BYTES:
        raise SourceMapError(f"it is larger than {MAX_MAP_BYTES >> 20} MiB")
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "runtime.source_map_reader", path, str(seconds)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the supervisor
        )
    except OSError as error:
        raise SourceMapError(f"no process could be started to read it: {error.strerror}") from None
    try:
        async with asyncio.timeout(seconds + START_SECONDS):
            output, _ = await process.communicate(content)
    except TimeoutError:
        raise SourceMapError("reading it takes too long") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if output[:1] == WRONG:
        raise SourceMapError(output[1:].decode())
    if output[:1] != MAP or process.returncode != 0:
        raise SourceMapError("reading it takes too much memory or time")
    return SourceMap.unpacked(output[1:])


def main(path: str, seconds: float) -> bytes:
    """Read standard input; return the answer."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    limit = int(seconds) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
    os.nice(NICENESS)
    content = sys.stdin.buffer.read()
    try:
        return MAP + SourceMap.parse(content, path, time.monotonic() + seconds).packed()
    except SourceMapError as error:
        return WRONG + str(error).encode()


if __name__ == "__main__":
    sys.stdout.buffer.write(main(sys.argv[1], float(sys.argv[2])))
