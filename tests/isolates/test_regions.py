"""Which parts of an edge worker's memory are in use."""

import itertools
import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from isolates.block_pool import MAX_BLOCK_BYTES, MAX_BYTES, block_size
from isolates.connection import Connection
from isolates.regions import LANE_BYTES, LANES, LEAST_BYTES, Region
from isolates.wire import MAX_HELD_BYTES, MAX_PLACED_BYTES, MEMORY_BYTES, Type, encode

SIZES = [LEAST_BYTES << lane for lane in range(LANES)]


@pytest.fixture
def region() -> Iterator[Region]:
    region = Region(os.memfd_create("test"))
    yield region
    region.close()


def test_there_is_always_room_for_what_a_pool_may_hold_of_any_size() -> None:
    assert MAX_BYTES <= LANE_BYTES and all(LANE_BYTES % size == 0 for size in SIZES)
    assert LANES * LANE_BYTES <= MEMORY_BYTES and MAX_HELD_BYTES <= MAX_BLOCK_BYTES == SIZES[-1]
    assert MAX_BLOCK_BYTES <= MAX_PLACED_BYTES


@pytest.mark.parametrize("size", SIZES)
def test_a_lane_has_as_many_places_as_fit(region: Region, size: int) -> None:
    offsets = [region.take(size) for _ in range(LANE_BYTES // size)]
    assert len(set(offsets)) == len(offsets)
    assert all(offset % size == 0 for offset in offsets)
    with pytest.raises(MemoryError):
        region.take(size)
    # Other lanes have theirs.
    for other in SIZES:
        if other != size:
            region.take(other)
    region.give_back(offsets[3])
    assert region.take(size) == offsets[3]


def test_places_never_overlap_nor_leave_the_memory(region: Region) -> None:
    chance = random.Random(3)
    used: dict[int, int] = {}
    for _ in range(5000):
        if used and chance.random() < 0.5:
            offset = chance.choice(list(used))
            del used[offset]
            region.give_back(offset)
            continue
        size = block_size(chance.randrange(1, MAX_BLOCK_BYTES + 1))
        if sum(used.values()) + size > MAX_BYTES:
            continue
        used[region.take(size)] = size
        spans = sorted(used.items())
        assert all(start + size <= after for (start, size), (after, _) in itertools.pairwise(spans))
        assert spans[-1][0] + spans[-1][1] <= MEMORY_BYTES


def test_a_region_is_closed_once(region: Region) -> None:
    region.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(region.descriptor)
    # Whoever has the number now keeps it.
    os.dup2(1, region.descriptor)
    region.close()
    os.fstat(region.descriptor)
    os.close(region.descriptor)


# Over a connection


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, Connection]]:
    ours, theirs = socket.socketpair()
    connection = Connection(3, theirs)
    yield ours, connection
    ours.close()
    connection.close()


Pair = tuple[socket.socket, Connection]
MEMORY = encode(0, Type.MEMORY)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_connection_takes_what_comes_with_its_first_bytes(pair: Pair) -> None:
    ours, connection = pair
    buffer = memoryview(bytearray(1 << 20))
    assert connection.receive(buffer, 0) == 0 and connection.region is None  # nothing there yet
    descriptor = os.memfd_create("test")
    socket.send_fds(ours, [MEMORY], [descriptor])
    ours.sendall(MEMORY)
    assert connection.receive(buffer, 0) > 0
    assert connection.region is not None
    received = connection.region.descriptor
    assert os.fstat(received).st_ino == os.fstat(descriptor).st_ino and not os.get_inheritable(received)
    os.close(descriptor)
    connection.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(received)


def test_descriptors_that_come_otherwise_are_not_kept(pair: Pair) -> None:
    ours, connection = pair
    buffer = memoryview(bytearray(1 << 20))
    before = open_descriptors()
    descriptor = os.memfd_create("test")
    socket.send_fds(ours, [MEMORY], [descriptor] * 2)
    connection.receive(buffer, 0)
    for _ in range(3):
        socket.send_fds(ours, [MEMORY], [descriptor])
        connection.receive(buffer, 0)
    os.close(descriptor)
    kept = 0 if connection.region is None else 1
    assert open_descriptors() == before + kept


def test_a_first_read_for_another_reason_costs_only_the_memory(pair: Pair) -> None:
    ours, connection = pair
    descriptor = os.memfd_create("test")
    socket.send_fds(ours, [MEMORY], [descriptor])
    os.close(descriptor)
    assert connection.take_requests() == [] and connection.kept
    assert connection.receive(memoryview(bytearray(1 << 20)), 0) == len(MEMORY)
    assert connection.region is None
