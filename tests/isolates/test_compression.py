"""Compression: the host's streams, and CompressionStream and DecompressionStream in a real host."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from functools import partial

import brotli
import pytest

from isolates.compression import MAX_BROTLI_STREAMS, MAX_STREAMS, CompressionOp, Refusal, Streams
from tests.isolates.driver import Host, handler

GZIP, DEFLATE, RAW, BROTLI = 1, 2, 3, 4
DECOMPRESS = 1


class Machine:
    """`Streams` as JavaScript drives it."""

    def __init__(self, room: int = 1024) -> None:
        self.buffer = bytearray(room)
        self.streams = Streams(memoryview(self.buffer))

    def open(self, format_: int, decompress: int = 0) -> int:
        status, stream, _ = self.streams.run(CompressionOp.OPEN, format_, decompress)
        return status or stream

    def write(self, stream: int, data: bytes) -> tuple[int, bytes]:
        self.buffer[: len(data)] = data
        return self._all(stream, self.streams.run(CompressionOp.WRITE, stream, len(data)))

    def finish(self, stream: int) -> tuple[int, bytes]:
        return self._all(stream, self.streams.run(CompressionOp.FINISH, stream, 0))

    def _all(self, stream: int, answer: tuple[int, int, int]) -> tuple[int, bytes]:
        output = b""
        while answer[0] == 0:
            output += self.buffer[: answer[1]]
            if not answer[2]:
                break
            answer = self.streams.run(CompressionOp.READ, stream, 0)
        return answer[0], output


def test_output_larger_than_the_buffer_comes_in_pieces() -> None:
    machine, data = Machine(room=64), bytes(100_000)
    stream = machine.open(GZIP, DECOMPRESS)
    packed = gzip.compress(data)
    output = b""
    for at in range(0, len(packed), 64):
        status, piece = machine.write(stream, packed[at : at + 64])
        assert status == 0
        output += piece
    assert machine.finish(stream) == (0, b"")
    assert output == data


@pytest.mark.parametrize(("format_", "window_bits"), [(GZIP, 31), (DEFLATE, 15), (RAW, -15)])
def test_a_format_is_that_of_zlib(format_: int, window_bits: int) -> None:
    machine = Machine()
    stream = machine.open(format_)
    _, first = machine.write(stream, b"hello ")
    _, second = machine.write(stream, b"world")
    _, third = machine.finish(stream)
    assert zlib.decompress(first + second + third, window_bits) == b"hello world"


def test_an_input_that_ends_early_is_refused_at_its_end() -> None:
    machine = Machine()
    stream = machine.open(DEFLATE, DECOMPRESS)
    assert machine.write(stream, zlib.compress(b"hello")[:-2])[0] == 0
    assert machine.finish(stream)[0] == Refusal.BAD_DATA


def test_data_after_the_end_is_refused_once_what_was_before_it_was_given() -> None:
    machine = Machine()
    stream = machine.open(DEFLATE, DECOMPRESS)
    assert machine.write(stream, zlib.compress(b"hello") + b"!") == (Refusal.BAD_DATA, b"hello")


def test_brotli_is_compressed_and_decompressed() -> None:
    machine, data = Machine(room=64), b"hello world" * 5000
    stream = machine.open(BROTLI)
    packed = machine.write(stream, data[:60])[1] + machine.write(stream, data[60:100])[1] + machine.finish(stream)[1]
    assert brotli.decompress(packed) == data[:100]
    stream = machine.open(BROTLI, DECOMPRESS)
    output, packed = b"", brotli.compress(data)
    for at in range(0, len(packed), 7):
        status, piece = machine.write(stream, packed[at : at + 7])
        assert status == 0
        output += piece
    assert (status, output + machine.finish(stream)[1]) == (0, data)


def test_brotli_that_ends_early_or_goes_on_after_its_end_is_refused() -> None:
    machine, packed = Machine(), brotli.compress(b"hello")
    early, late, empty = (machine.open(BROTLI, DECOMPRESS) for _ in range(3))
    assert machine.write(early, packed[:-2])[0] == 0
    assert machine.finish(early)[0] == Refusal.BAD_DATA
    assert machine.write(late, packed) == (0, b"hello")
    assert machine.write(late, b"!")[0] == Refusal.BAD_DATA
    assert machine.finish(empty)[0] == Refusal.BAD_DATA


def test_brotli_streams_have_a_bound_of_their_own() -> None:
    machine = Machine()
    assert all(machine.open(BROTLI) > 0 for _ in range(MAX_BROTLI_STREAMS))
    assert machine.open(BROTLI) == Refusal.TOO_MANY
    assert machine.open(GZIP) > 0


@pytest.mark.parametrize(("format_", "pack"), [(DEFLATE, zlib.compress), (BROTLI, partial(brotli.compress, quality=1))])
def test_a_bomb_is_not_in_memory_at_once(format_: int, pack: Callable[[bytes], bytes]) -> None:
    machine = Machine(room=1 << 16)
    stream = machine.open(format_, DECOMPRESS)
    bomb = pack(bytes(50_000_000))
    tracemalloc.start()
    machine.buffer[: len(bomb)] = bomb
    machine.streams.run(CompressionOp.WRITE, stream, len(bomb))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_streams_are_bounded_until_one_is_closed() -> None:
    machine = Machine()
    streams = [machine.open(GZIP) for _ in range(MAX_STREAMS)]
    assert machine.open(GZIP) == Refusal.TOO_MANY
    machine.streams.run(CompressionOp.CLOSE, streams[0], 0)
    assert machine.open(GZIP) > 0


@pytest.fixture
def host(platform_host: Host) -> Host:
    return platform_host


@pytest.mark.parametrize("name", ["gzip", "deflate", "deflate-raw", "brotli"])
def test_what_is_compressed_decompresses_to_the_same(host: Host, name: str) -> None:
    edge = host.serve(
        handler(f"""
        const data = new Uint8Array(3 << 20).map((_, i) => (i * i) >> 7);
        const packed = new Blob([data]).stream().pipeThrough(new CompressionStream('{name}'));
        const back = await new Response(packed.pipeThrough(new DecompressionStream('{name}'))).bytes();
        return new Response(`${{back.length === data.length && back.every((byte, i) => byte === data[i])}}`);""")
    )
    assert edge.ask() == "true"


def test_junk_fails_the_stream_with_a_type_error(host: Host) -> None:
    edge = host.serve(
        handler("""
        const junk = new Response('no gzip at all').body.pipeThrough(new DecompressionStream('gzip'));
        return new Response(await new Response(junk).text().catch((error) => error.name));""")
    )
    assert edge.ask() == "TypeError"


def test_streams_that_are_dropped_half_way_are_given_back(host: Host) -> None:
    edge = host.serve(
        handler("""
        for (let i = 0; i < 200; i++) {
          const writer = new CompressionStream('gzip').writable.getWriter();
          writer.write(new Uint8Array(10)).catch(() => {});
          await null;
          await writer.abort();
        }
        return new Response('done');""")
    )
    assert [edge.ask(stream=stream) for stream in (1, 2, 3)] == ["done"] * 3
