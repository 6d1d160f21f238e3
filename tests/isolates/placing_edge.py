"""An edge worker that shares memory with a host, and writes bodies to it: the test says when."""

from typing import Any, Self

from isolates import wire
from isolates.messages import Loaded
from isolates.wire import END, PLACE, PLACED, Type
from tests.isolates.driver import Edge, Host

READER = """
const hex = (bytes) => [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const hash = async (bytes) => hex(await crypto.subtle.digest("SHA-256", bytes));
const encode = (text) => new TextEncoder().encode(text);
async function chunks(stream) {
  const all = [];
  for await (const chunk of stream) all.push(chunk);
  return new Uint8Array(await new Blob(all).arrayBuffer());
}
const ways = {
  arrayBuffer: (request) => request.arrayBuffer(),
  bytes: (request) => request.bytes(),
  blob: async (request) => (await request.blob()).arrayBuffer(),
  text: async (request) => encode(await request.text()),
  json: async (request) => encode(JSON.stringify(await request.json())),
  stream: (request) => chunks(request.body),
  reader: async (request) => {
    const reader = request.body.getReader({ mode: "byob" }), all = [];
    for (;;) {
      const { value, done } = await reader.read(new Uint8Array(50_000));
      if (done) return new Blob(all).arrayBuffer();
      all.push(value);
    }
  },
  clone: async (request) => {
    const copy = request.clone();
    const [one, other] = await Promise.all([request.bytes(), copy.arrayBuffer()]);
    return await hash(one) === await hash(other) ? one : encode("another");
  },
  oneAfterTheOther: async (request) => {
    const copy = request.clone();
    const one = await request.bytes(), other = await copy.bytes();
    return await hash(one) === await hash(other) ? one : encode("another");
  },
  again: async (request) => new Response(request.body).bytes(),
  request: async (request) => new Request(request).bytes(),
  piped: async (request) => new Response(request.body.pipeThrough(new TransformStream())).bytes(),
  looked: async (request) => {
    const bytes = request.bytes();
    return request.body.locked && request.bodyUsed ? bytes : encode("free");
  },
  form: async (request) => (await request.formData()).get("file").arrayBuffer(),
  late: async (request) => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    return request.bytes();
  },
};
"""
"""Ways to read a request's body as a whole."""

HASH = (
    READER
    + """
export default {
  async fetch(request) {
    return new Response(await hash(await ways[new URL(request.url).pathname.slice(1) || "bytes"](request)));
  },
};
"""
)
"""An app that answers with the SHA-256 of a body that it reads in the way that the path names."""


class PlacingEdge:
    """Requests with bodies that are held back, on one connection."""

    def __init__(self, edge: Edge) -> None:
        assert edge.memory is not None
        self.edge = edge
        self.memory = edge.memory
        self.answers: dict[int, wire.Frame] = {}
        self.places: dict[int, int] = {}
        """Where the host wants a body, while it is not there."""
        self.windows: dict[int, int] = {}
        """Bytes that may be sent, of bodies that the host asked for."""
        self._left: dict[int, bytes] = {}

    @classmethod
    def of(cls, host: Host) -> Self:
        return cls(host.connect(shares=True))

    def begin(self, stream: int, body: bytes, path: str = "/", *, length: int | None = None, more: str = "") -> None:
        told = len(body) if length is None else length
        head = f"POST\nhttp://a{path}\nrequest-{stream}\nhost\na\ncontent-length\n{told}{more}"
        self.edge.sock.sendall(wire.encode(stream, Type.REQUEST, head=head.encode()))
        self._left[stream] = body
        if told <= wire.HELD_BYTES:
            self.windows[stream] = wire.WINDOW_BYTES

    def read(self) -> None:
        """Take one frame of the host's."""
        frame = self.edge.frame()
        stream = frame.stream
        if frame.type == Type.PLACE:
            granted, self.places[stream] = PLACE.unpack(frame.data)
            self.windows[stream] = self.windows.get(stream, wire.WINDOW_BYTES) + granted
        elif frame.type == Type.WINDOW:
            granted = int.from_bytes(frame.data, "little")
            self.windows[stream] = self.windows.get(stream, wire.WINDOW_BYTES) + granted
        elif frame.flags & END:
            self.answers[stream] = frame

    def place(self, stream: int) -> int:
        """Return where the host wants a body."""
        while stream not in self.places:
            assert stream not in self.answers, self.answers[stream]
            self.read()
        return self.places[stream]

    def answer(self, stream: int) -> bytes:
        """The data of the last frame of a stream, or its head if it is no RESPONSE or DATA."""
        while stream not in self.answers:
            self.read()
        frame = self.answers.pop(stream)
        return frame.data if frame.type in (Type.RESPONSE, Type.DATA) else frame.head

    def write(self, stream: int) -> None:
        """Write the body to its place, and say so."""
        offset, body = self.places.pop(stream), self._left.pop(stream)
        self.memory[offset : offset + len(body)] = body
        self.send(stream, Type.DATA, flags=END | PLACED)

    def send_data(self, stream: int) -> None:
        """Send as much of the body as may be sent."""
        self.places.pop(stream, None)
        left, count = self._left[stream], min(self.windows[stream], len(self._left[stream]))
        for at in range(0, count, wire.MAX_DATA_BYTES):
            data = left[at : min(at + wire.MAX_DATA_BYTES, count)]
            self.send(stream, Type.DATA, flags=END if at + len(data) == len(left) else 0, data=data)
        self.windows[stream] -= count
        self._left[stream] = left[count:]
        if count == len(left):
            del self._left[stream]

    def send(self, stream: int, type_: Type, *, flags: int = 0, head: bytes = b"", data: bytes = b"") -> None:
        self.edge.sock.sendall(wire.encode(stream, type_, flags=flags, head=head, data=data))

    def cancel(self, stream: int, why: bytes = b"client disconnected") -> None:
        self.places.pop(stream, None)
        self.send(stream, Type.CANCEL, head=why)

    def finish(self, *streams: int) -> list[bytes]:
        """Bring each body where the host wants it, and return the answers."""
        while any(stream not in self.answers for stream in streams):
            for stream in streams:
                if stream in self.places:
                    self.write(stream)
                elif self._left.get(stream) and self.windows.get(stream):
                    self.send_data(stream)
            self.read()
        return [self.answer(stream) for stream in streams]

    def ask(self, stream: int, body: bytes, path: str = "/", *, more: str = "") -> bytes:
        self.begin(stream, body, path, more=more)
        return self.finish(stream)[0]


def serve(host: Host, app: str, **settings: Any) -> PlacingEdge:
    """Load an app, and connect once it is loaded."""
    host.load(app, **settings)
    host.end.expect(Loaded)
    return PlacingEdge.of(host)
