"""Drives the platform bundle without a host: frames go into the ring's input, `run()` is called, frames come out.

The `native` object is JavaScript. Its `poll` asks the loop to leave, so that every turn is one call from Python, and
mini-racer runs the microtasks after it. `turn(advance_ms=…)` puts the monotonic clock forward.
"""

import json
import struct
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from py_mini_racer import MiniRacer, init_mini_racer

from isolates import wire
from isolates.wire import Frame, Type

BUNDLE = Path(__file__).parents[2] / "isolates" / "js" / "dist" / "platform.js"
HEADER_BYTES = 64
EDGE = 3
EGRESS = 1
CACHE = 2

NATIVE = """
globalThis.__make = (app, config, useRing) => {
  const size = (1 << 20) + 64;
  const ring = useRing
    ? __brrrd_ring()
    : { input: new ArrayBuffer(size), output: new ArrayBuffer(size), scratch: new ArrayBuffer(size) };
  const words = new Uint32Array(ring.input, 0, 16);
  const op = new Int32Array(ring.scratch, 0, 16);
  const bytes = new Uint8Array(ring.scratch);
  const output = new Uint32Array(ring.output, 0, 16);
  const flushed = [];
  const now = Date.now;
  const wall = new Float64Array(ring.input, 0, 8);
  const native = {
    input: ring.input, output: ring.output, scratch: ring.scratch,
    poll() { words[1] |= 1; wall[1] = now(); },
    call() {
      if (op[0] === 1) {
        flushed.push(new Uint8Array(ring.output).slice(64, 64 + output[0]));
        output[0] = 0;
        op[0] = 0;
      } else if (op[0] === 2) {
        for (let i = 0; i < op[1]; i++) bytes[64 + i] = Math.random() * 256;
        op[0] = 0;
      } else op[0] = -1;
    },
    importModule: async () => app(),
  };
  if (useRing && ring.codec === null) throw new Error('the engine has no native text codec');
  const run = __brrrd_boot(native, config);
  return { run, flushed, input: ring.input, output: ring.output };
};
"""


def start_engine() -> None:
    """Initialises V8 once per process, with the flag that the platform's text codec needs."""
    init_mini_racer(flags=["--single-threaded", "--experimental-wasm-stringref"], ignore_duplicate_init=True)


def request(
    stream: int,
    url: str = "http://app.test/",
    method: str = "GET",
    headers: Sequence[tuple[str, str]] = (),
    body: bytes = b"",
    *,
    end: bool = True,
) -> bytes:
    """A REQUEST frame as an edge worker sends it."""
    fields = [method, url, f"req-{stream}", *(part for pair in headers for part in pair)]
    head = "\n".join(fields).encode("latin-1")
    return wire.encode(stream, Type.REQUEST, flags=wire.END if end else 0, head=head, data=body)


def window(stream: int, credit: int) -> bytes:
    """A WINDOW frame: so many bytes more may be sent."""
    return wire.encode(stream, Type.WINDOW, data=struct.pack("<I", credit))


def data(stream: int, content: bytes, *, end: bool = False) -> bytes:
    """A DATA frame: a piece of the request's body."""
    return wire.encode(stream, Type.DATA, flags=wire.END if end else 0, data=content)


def cancel(stream: int, why: str = "client closed") -> bytes:
    """A CANCEL frame: nobody waits for the answer any more."""
    return wire.encode(stream, Type.CANCEL, flags=wire.END, head=why.encode())


def handler(body: str) -> str:
    """An app whose handler has this body."""
    return f"return {{ default: {{ async fetch(request, env, ctx) {{ {body} }} }} }};"


class Response:
    """What came back on one stream, put together from its frames."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.body = b""
        self.ended = False
        self.refused = ""
        self.cancelled = ""
        self.messages: list[Frame] = []
        """MESSAGE and CLOSE frames of a WebSocket."""

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    def add(self, frame: Frame) -> None:
        if frame.type == Type.RESPONSE:
            _, *fields = frame.head.decode("latin-1").split("\n")
            self.status = frame.status
            self.headers = list(zip(fields[::2], fields[1::2], strict=True))
        elif frame.type == Type.REFUSE:
            self.status = frame.status
            self.refused = frame.head.decode("latin-1").split("\n")[0]
        elif frame.type == Type.CANCEL:
            self.cancelled = frame.head.decode("latin-1")
        elif frame.type in (Type.MESSAGE, Type.CLOSE):
            self.messages.append(frame)
            return
        self.body += frame.data
        self.ended = bool(frame.flags & wire.END)


class Platform:
    """One isolate with the bundle and an app. `app` is the body of a function that returns the module namespace."""

    def __init__(
        self,
        app: str,
        *,
        environment: dict[str, str] | None = None,
        native_text: bool = True,
        node: bool = False,
        wall_ms: int = 30_000,
        max_concurrent_requests: int = 100,
        queue_ms: int = 5_000,
        max_websockets: int = 1000,
    ) -> None:
        start_engine()
        self.engine = MiniRacer()
        self.engine.eval(BUNDLE.read_text())
        self.engine.eval(NATIVE)
        limits = {
            "wall_ms": wall_ms,
            "max_concurrent_requests": max_concurrent_requests,
            "queue_ms": queue_ms,
            "max_websockets": max_websockets,
        }
        config = {
            "app_id": "app",
            "build_id": "build",
            "main": "index.js",
            "environment": environment or {},
            "limits": limits,
            "node": node,
            "version": "1.2.3",
        }
        text = "true" if native_text else "false"
        self.engine.eval(f"globalThis.__host = __make(() => {{ {app} }}, {json.dumps(config)}, {text}); 0")
        self.input: Any = self.engine.eval("__host.input")
        self.output: Any = self.engine.eval("__host.output")
        self.ahead_ms = 0.0
        self.logs: list[tuple[int, str, str]] = []
        self.limits: list[tuple[str, str]] = []
        """Limits that were hit, with what the app's log says about it."""
        self.responses: dict[int, Response] = {}
        self.sent: list[Frame] = []
        """Frames to the egress."""
        self.windows: list[Frame] = []
        self.load: Frame | None = None
        self.turn()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.engine.close()

    def turn(self, *frames: bytes, connection: int = EDGE, advance_ms: float = 0, closed: bool = False) -> None:
        """One round of the loop, with the microtasks after it. `closed` closes the connection."""
        self.ahead_ms += advance_ms
        monotonic = time.monotonic() * 1000 + self.ahead_ms
        data = b"".join(frames)
        segments = struct.pack("<II", connection, len(data)) + data if data or closed else b""
        assert len(segments) <= len(self.input) - HEADER_BYTES
        self.input[HEADER_BYTES : HEADER_BYTES + len(segments)] = segments
        struct.pack_into("<IIdd", self.input, 0, len(segments), 0, time.time() * 1000, monotonic)
        self.engine.eval("__host.run()")
        self.engine.eval("0")  # the microtasks of the call before are done when this one is
        self.collect()

    def collect(self) -> None:
        """Takes what is in the output buffer, and what was flushed before it."""
        used = struct.unpack_from("<I", self.output, 0)[0]
        data = bytes(self.output[HEADER_BYTES : HEADER_BYTES + used])
        struct.pack_into("<I", self.output, 0, 0)
        flushed = self.engine.eval("__host.flushed.length")
        for index in range(int(str(flushed))):
            self._segments(bytes(self.engine.eval(f"__host.flushed[{index}].buffer")))  # type: ignore[arg-type]
        self.engine.eval("__host.flushed.length = 0")
        self._segments(data)

    def _segments(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            connection, size = struct.unpack_from("<II", data, at)
            frames, end = wire.decode(data[at + 8 : at + 8 + size])
            assert end == size, "a segment holds whole frames"
            at += 8 + size
            for frame in frames:
                self._take(connection, frame)

    def _take(self, connection: int, frame: Frame) -> None:
        if connection == 0:
            if frame.type == Type.LOG:
                self.logs.append((frame.status, frame.head.decode("latin-1"), frame.data.decode()))
            elif frame.type == Type.LIMIT:
                self.limits.append((frame.head.decode("latin-1").partition("\n")[2], frame.data.decode()))
            else:
                self.load = frame
        elif connection == EGRESS:
            self.sent.append(frame)
        elif frame.type == Type.WINDOW:
            self.windows.append(frame)
        else:
            self.responses.setdefault(frame.stream, Response()).add(frame)

    def fetch(self, url: str = "http://app.test/", method: str = "GET", **options: Any) -> Response:
        """Sends one request and gives what came back after a few turns."""
        stream = max(self.responses, default=0) + 1
        self.responses[stream] = Response()
        self.turn(request(stream, url, method, **options))
        for _ in range(20):
            if self.responses[stream].ended:
                break
            self.turn(advance_ms=5)
        return self.responses[stream]

    @property
    def counters(self) -> dict[str, int]:
        names = ("active", "queued", "total", "refused", "exceptions", "background", "websockets")
        return dict(zip(names, struct.unpack_from("<7I", self.output, 16), strict=True))

    @property
    def next_timer(self) -> float:
        return float(struct.unpack_from("<d", self.output, 8)[0])
