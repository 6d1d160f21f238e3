"""Who leaves first on a connection that many calls share, and that nothing is lost or mixed up on the way."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec

from dataplane import wire
from dataplane.outbox import SHARE_BYTES, Outbox
from dataplane.upstream import Answer, Upstream
from tests.dataplane.plane import MAIN, Plane, execute, serve_plane

LONG_BYTES = 20 << 20


def body(call: int, size: int) -> wire.Frames:
    return wire.encode_body(call, wire.Type.DATA, bytes([call]) * size, flags=wire.END)


def calls(taken: bytes) -> list[int]:
    return [frame.call for frame in wire.Decoder().feed(taken)]


def test_short_frames_leave_before_long_bodies_and_those_take_turns() -> None:
    outbox = Outbox()
    outbox.put(1, body(1, 300_000))
    outbox.put(2, body(2, 300_000))
    outbox.put(3, body(3, 10))
    assert calls(outbox.take(room=True)) == [3, 1, 2]
    outbox.put(4, body(4, 10))
    assert calls(outbox.take(room=False)) == [4]
    assert outbox.has(room=True) and not outbox.has(room=False)
    assert outbox.take(room=False) == b""
    assert calls(outbox.take(room=True)) == [1, 2]


def test_the_frames_of_a_call_keep_their_order() -> None:
    outbox = Outbox()
    outbox.put(1, wire.encode_body(1, wire.Type.ANSWER, b"a" * 200_000, code=200))
    outbox.put(1, [wire.encode(1, wire.Type.DATA, data=b"b", flags=wire.END)])
    taken = []
    while outbox:
        taken.append(outbox.take(room=True))
        assert len(taken[-1]) < SHARE_BYTES + wire.MAX_DATA_BYTES + wire.HEADER_BYTES
    frames = wire.Decoder().feed(b"".join(taken))
    assert b"".join(frame.data for frame in frames) == b"a" * 200_000 + b"b"
    assert frames[0].type == wire.Type.ANSWER and frames[-1].flags == wire.END
    assert len(taken) > 1


def test_what_was_dropped_does_not_leave() -> None:
    outbox = Outbox()
    outbox.put(1, body(1, 300_000))
    outbox.take(room=True)
    outbox.drop(1)
    outbox.drop(2)
    assert not outbox and outbox.take(room=True) == b""


async def frames_of(reader: asyncio.StreamReader) -> AsyncGenerator[wire.Frame, None]:
    decoder = wire.Decoder()
    while data := await reader.read(65536):
        for frame in decoder.feed(data):
            yield frame


def call_of(number: int, sql: str) -> bytes:
    head = msgspec.msgpack.encode(wire.CallHead(MAIN, 1))
    document = msgspec.json.encode({"requests": [execute(sql), {"type": "close"}]})
    (frame,) = wire.encode_body(
        number, wire.Type.CALL, document, flags=wire.END, code=wire.Route.PIPELINE_V2, head=head
    )
    return frame


LONG_RESULT = f"SELECT hex(zeroblob({LONG_BYTES // 2}))"


async def test_a_short_answer_overtakes_a_long_one(plane: Plane) -> None:
    reader, writer = await asyncio.open_unix_connection(plane.worker.address)
    writer.write(call_of(1, LONG_RESULT))
    received: list[wire.Frame] = []
    async with asyncio.timeout(30), contextlib.aclosing(frames_of(reader)) as frames:
        async for frame in frames:
            received.append(frame)
            if len(received) == 1:
                writer.write(call_of(2, "SELECT 1"))
            if frame.call == 1 and frame.flags & wire.END:
                break
    writer.close()
    assert 2 in [frame.call for frame in received]
    answer = b"".join(frame.data for frame in received if frame.call == 1)
    assert len(answer) == wire.answer_bytes(received[0])
    assert len(answer) > LONG_BYTES
    assert msgspec.json.decode(answer)["results"][0]["type"] == "ok"


async def test_the_rest_of_an_answer_is_not_sent_once_nobody_wants_it() -> None:
    async with serve_plane() as plane:
        reader, writer = await asyncio.open_unix_connection(plane.worker.address)
        writer.write(call_of(1, LONG_RESULT))
        async with asyncio.timeout(30):
            size = len(await reader.read(1))
            writer.write(wire.encode(1, wire.Type.CANCEL))
            # It ends when all that was answered has left.
            drained = asyncio.create_task(plane.worker.drain(25_000))
            while data := await reader.read(65536):
                size += len(data)
            assert await drained == 0
        writer.close()
        assert size < LONG_BYTES // 4


async def test_a_worker_that_is_to_end_sends_long_answers_to_their_end() -> None:
    async with serve_plane() as plane:
        reader, writer = await asyncio.open_unix_connection(plane.worker.address)
        writer.write(call_of(1, LONG_RESULT))
        async with asyncio.timeout(30):
            data = await reader.read(65536)
            drained = asyncio.create_task(plane.worker.drain(25_000))
            frames = wire.Decoder().feed(data + await reader.read())
            assert await drained == 0
        writer.close()
        frames = [frame for frame in frames if frame.call == 1]
        assert sum(len(frame.data) for frame in frames) == wire.answer_bytes(frames[0])
        assert frames[-1].flags == wire.END


async def test_a_short_request_overtakes_a_long_one(tmp_path: Path) -> None:
    received: list[wire.Frame] = []
    over, closed = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for frame in frames_of(reader):
            received.append(frame)
            if len(frame.data) > 1 and frame.flags & wire.END and frame.type == wire.Type.DATA:
                over.set()
        writer.close()
        await writer.wait_closed()
        closed.set()

    path = tmp_path / "worker"
    server = await asyncio.start_unix_server(serve, path)
    upstream = Upstream(str(path))
    (await upstream.open_socket(wire.Route.SOCKET_JSON, b"", 3)).cancel()  # so that there is a connection
    long, short = (Answer(asyncio.get_running_loop()) for _ in range(2))
    upstream.begin(long, wire.Route.PIPELINE_V3, b"", b"l" * LONG_BYTES)
    upstream.begin(short, wire.Route.PIPELINE_V3, b"", b"short")
    async with asyncio.timeout(30):
        await over.wait()
    frames = [frame for frame in received if frame.call in (long.number, short.number)]
    assert [frame.call for frame in frames].index(short.number) == 0
    assert b"".join(frame.data for frame in frames[1:]) == b"l" * LONG_BYTES
    await upstream.aclose()
    server.close()
    async with asyncio.timeout(30):
        await closed.wait()
