"""What a host reads from one connection in one turn of its loop."""

import socket
from collections.abc import Iterator

import pytest

from isolates import wire
from isolates.connection import LEAST_READ_BYTES, MANY_FRAMES, READ_BYTES, Connection, next_read

SMALL = wire.encode(1, wire.Type.MESSAGE, status=wire.TEXT, data=b"hi")
LARGE = wire.encode(1, wire.Type.MESSAGE, status=wire.BINARY, data=bytes(20_000))


@pytest.fixture
def pair() -> Iterator[tuple[Connection, socket.socket]]:
    ours, theirs = socket.socketpair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    connection = Connection(3, ours)
    yield connection, theirs
    connection.close()
    theirs.close()


def frames_read(connection: Connection) -> int:
    buffer = memoryview(bytearray(2 * READ_BYTES))
    return len(wire.decode(bytes(buffer[: connection.receive(buffer, 0)]))[0])


@pytest.mark.parametrize(
    ("frames", "size", "most"),
    [
        (1, 60_000, READ_BYTES),
        (MANY_FRAMES // 2 - 1, 5_000, READ_BYTES),
        (MANY_FRAMES, READ_BYTES, READ_BYTES),
        (MANY_FRAMES, 18 * MANY_FRAMES, 18 * MANY_FRAMES),
        (2 * MANY_FRAMES, 40_960, 20_480),
        (20 * MANY_FRAMES, 16 * 20 * MANY_FRAMES, 16 * MANY_FRAMES),
        (READ_BYTES, READ_BYTES, LEAST_READ_BYTES),
    ],
)
def test_how_much_is_read_after_a_read(frames: int, size: int, most: int) -> None:
    assert next_read(frames, size) == most


def test_a_flood_of_small_frames_is_read_in_portions(pair: tuple[Connection, socket.socket]) -> None:
    connection, client = pair
    count = 4 * MANY_FRAMES
    client.sendall(SMALL * count)
    assert frames_read(connection) == count
    client.sendall(SMALL * count)
    portions = [frames_read(connection) for _ in range(4)]
    assert sum(portions) == count
    assert max(portions) <= MANY_FRAMES


def test_after_a_flood_large_frames_are_read_many_at_once_again(pair: tuple[Connection, socket.socket]) -> None:
    connection, client = pair
    client.sendall(SMALL * 4 * MANY_FRAMES)
    frames_read(connection)
    client.sendall(LARGE * 5)
    while not frames_read(connection):
        pass
    client.sendall(LARGE * 5)
    assert frames_read(connection) >= 5
