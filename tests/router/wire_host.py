"""A peer of the edge on the host's side of `isolates.wire`, as a process: `python -m tests.router.wire_host SOCKET`.

It answers by path, so that a test can see every kind of frame reach the client, without V8.
"""

import asyncio
import hashlib
import json
import os
import sys
from typing import ClassVar, cast
from urllib.parse import parse_qs, urlsplit

import uvloop

from isolates import wire
from isolates.wire import END, HEADER_BYTES, MAX_DATA_BYTES, UPGRADE, WINDOW_BYTES, Type

HELLO = b"\ncontent-type\ntext/plain"


class Request:
    def __init__(self, frame: wire.Frame) -> None:
        fields = frame.head.split(b"\n")
        self.stream = frame.stream
        self.method, self.url, self.request_id = fields[0].decode(), fields[1].decode("latin-1"), fields[2].decode()
        self.headers = list(zip(fields[3::2], fields[4::2], strict=True))
        self.parts = urlsplit(self.url)
        self.query = {name: values[-1] for name, values in parse_qs(self.parts.query).items()}
        self.body = bytearray(frame.data)
        self.frames = 1
        self.ended = bool(frame.flags & (END | UPGRADE))
        self.complete = asyncio.Event()
        if self.ended:
            self.complete.set()
        self.window = WINDOW_BYTES
        self.granted = asyncio.Event()
        self.task: asyncio.Task[None] | None = None


class WireHost(asyncio.Protocol):
    cancelled: ClassVar[list[str]] = []
    held: ClassVar[int] = 0

    def __init__(self) -> None:
        self.requests: dict[int, Request] = {}
        self.buffer = b""
        self.out: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self, stream: int, type_: Type, **fields: object) -> None:
        if not self.out:
            asyncio.get_running_loop().call_soon(self.flush)
        self.out.append(wire.encode(stream, type_, **fields))  # type: ignore[arg-type]

    def flush(self) -> None:
        self.transport.write(b"".join(self.out))
        self.out.clear()

    def data_received(self, data: bytes) -> None:
        frames, used = wire.decode(self.buffer + data)
        self.buffer = (self.buffer + data)[used:]
        for frame in frames:
            if frame.type == Type.REQUEST:
                self.begin(frame)
            elif frame.stream in self.requests:
                self.go_on(self.requests[frame.stream], frame)

    def begin(self, frame: wire.Frame) -> None:
        if b"/hello\n" in frame.head[:200]:
            self.send(frame.stream, Type.RESPONSE, flags=END, status=200, head=HELLO, data=b"hello world")
            return
        request = self.requests[frame.stream] = Request(frame)
        if not frame.flags & END and not frame.data:
            # As a host whose app reads the body: it may be held back until somebody wants it.
            self.send(frame.stream, Type.WINDOW, data=bytes(4))
        handler = getattr(self, "do_" + request.parts.path.strip("/").replace("-", "_"), self.do_show)
        request.task = asyncio.get_running_loop().create_task(handler(request))

    def go_on(self, request: Request, frame: wire.Frame) -> None:
        if frame.type == Type.DATA:
            if frame.flags & END:
                request.ended = True
                request.complete.set()
            handler = request.parts.path.strip("/")
            if handler == "echo":
                self.send(request.stream, Type.DATA, flags=frame.flags, data=frame.data)
                self.grant(request, len(frame.data))
            elif handler != "hold":
                request.body += frame.data
                request.frames += 1
                self.grant(request, len(frame.data))
        elif frame.type == Type.MESSAGE:
            self.send(request.stream, Type.MESSAGE, flags=frame.flags, status=frame.status, data=frame.data)
            self.grant(request, len(frame.data) + HEADER_BYTES)
        elif frame.type == Type.WINDOW:
            request.window += int.from_bytes(frame.data, "little")
            request.granted.set()
        elif frame.type == Type.CANCEL:
            WireHost.cancelled.append(f"{request.parts.path} {frame.head.decode()}")
            del self.requests[request.stream]
            if request.task is not None:
                request.task.cancel()

    def grant(self, request: Request, count: int) -> None:
        if count:
            self.send(request.stream, Type.WINDOW, data=count.to_bytes(4, "little"))

    async def send_all(self, request: Request, data: bytes, end: bool) -> None:
        while data:
            request.granted.clear()
            if not request.window:
                await request.granted.wait()
            count = min(request.window, MAX_DATA_BYTES, len(data))
            request.window -= count
            self.send(request.stream, Type.DATA, data=data[:count], flags=END if end and count == len(data) else 0)
            data = data[count:]

    # One method per path.

    async def do_show(self, request: Request) -> None:
        """Answer with what arrived, as JSON, once all of it did."""
        await request.complete.wait()
        shown = {
            "method": request.method,
            "url": request.url,
            "request_id": request.request_id,
            "headers": [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers],
            "body": request.body.decode("latin-1"),
            "frames": request.frames,
            "pid": os.getpid(),
        }
        self.send(request.stream, Type.RESPONSE, status=200, head=b"\ncontent-type\napplication/json")
        await self.send_all(request, json.dumps(shown).encode(), True)

    async def do_hash(self, request: Request) -> None:
        """Answer with the SHA-256 of the body."""
        await request.complete.wait()
        digest = hashlib.sha256(request.body).hexdigest().encode()
        self.send(request.stream, Type.RESPONSE, flags=END, status=200, head=b"", data=digest)

    async def do_echo(self, request: Request) -> None:
        self.send(
            request.stream,
            Type.RESPONSE,
            status=200,
            data=bytes(request.body),
            flags=END if request.ended else 0,
            head=b"\nx-echo\n1",
        )
        self.grant(request, len(request.body))

    async def do_hold(self, request: Request) -> None:
        """Never read the body nor answer."""
        WireHost.held += 1

    async def do_held(self, request: Request) -> None:
        """How many requests were held so far."""
        self.send(request.stream, Type.RESPONSE, flags=END, status=200, head=b"", data=b"%d" % WireHost.held)

    async def do_socket(self, request: Request) -> None:
        """Answer with a WebSocket that sends back what comes, after `seconds`."""
        await asyncio.sleep(float(request.query.get("seconds", "0")))
        self.send(request.stream, Type.RESPONSE, status=101, head=b"\nx-echo\n1")

    async def do_early(self, request: Request) -> None:
        """Answer before the body is read."""
        self.send(request.stream, Type.RESPONSE, flags=END, status=401, head=b"", data=b"no")

    async def do_status(self, request: Request) -> None:
        fields = [request.query.get("reason", "")]
        for item in json.loads(request.query.get("headers", "[]")):
            fields += item
        self.send(
            request.stream,
            Type.RESPONSE,
            flags=END,
            status=int(request.query["status"]),
            head="\n".join(fields).encode("latin-1"),
            data=request.query.get("body", "").encode(),
        )

    async def do_stream(self, request: Request) -> None:
        """Send `bytes` bytes, with a Content-Length of `length` if given, then end as `end` says."""
        length = request.query.get("length")
        head = b"" if length is None else b"\ncontent-length\n" + length.encode()
        self.send(request.stream, Type.RESPONSE, status=200, head=head)
        end = request.query.get("end", "end")
        await self.send_all(request, b"s" * int(request.query["bytes"]), end == "end")
        if end == "cancel":
            self.send(request.stream, Type.CANCEL, head=b"stream failed")
        elif end == "die":
            await asyncio.sleep(0.05)
            os._exit(1)

    async def do_pieces(self, request: Request) -> None:
        self.send(request.stream, Type.RESPONSE, status=200, head=b"\ncontent-type\ntext/event-stream")
        for number in range(3):
            await asyncio.sleep(0.02)
            self.send(request.stream, Type.DATA, data=b"data: %d\n\n" % number)
        self.send(request.stream, Type.DATA, flags=END)

    async def do_crumbs(self, request: Request) -> None:
        """Send frames of one byte, ten at a time `tens` times, faster than anybody takes them."""
        self.send(request.stream, Type.RESPONSE, status=200)
        ten = b"".join(wire.encode(request.stream, Type.DATA, data=b"%d" % digit) for digit in range(10))
        self.out.append(ten * int(request.query["tens"]))
        self.send(request.stream, Type.DATA, flags=END)

    async def do_refuse(self, request: Request) -> None:
        fields = f"{request.query['code']}\n{request.query.get('detail', '')}"
        self.send(request.stream, Type.REFUSE, status=int(request.query["status"]), head=fields.encode())

    async def do_raw_head(self, request: Request) -> None:
        self.send(request.stream, Type.RESPONSE, flags=END, status=200, head=b"\nx-split\na\r\nevil: 1")

    async def do_garbage(self, request: Request) -> None:
        self.transport.write(b"\x01" * 64)

    async def do_die(self, request: Request) -> None:
        os._exit(1)

    async def do_goaway(self, request: Request) -> None:
        """Begin to answer, take nothing more, and end with this process's id."""
        self.send(request.stream, Type.RESPONSE, status=200, head=b"")
        self.send(0, Type.GOAWAY)
        await asyncio.sleep(0.1)
        self.send(request.stream, Type.DATA, flags=END, data=b"%d" % os.getpid())

    async def do_cancelled(self, request: Request) -> None:
        data = json.dumps(WireHost.cancelled).encode()
        self.send(request.stream, Type.RESPONSE, flags=END, status=200, head=b"", data=data)


async def main(path: str) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(WireHost, path)
    print("ready", flush=True)
    # The parent holds the other end of stdin: this process ends with it.
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()
    os._exit(0)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
