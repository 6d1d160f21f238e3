"""The host's end of its control channel beside a supervisor that does not read."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from isolates.link import MAX_PENDING_BYTES, Link
from isolates.messages import FromHost, HostStats, Log, Retiring
from runtime.channel import Decoder

RETIRING = Retiring("cpu_ms", "too much")
STATS = HostStats(requests=1, active=0, queued=0, refused=0, exceptions=0, heap_bytes=0)


def log(number: int) -> Log:
    return Log(float(number), "info", "", "x" * 100)


@contextmanager
def linked() -> Iterator[tuple[Link, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    theirs.settimeout(10)
    with ours, theirs:
        link = Link(ours)
        link.unblock()
        yield link, theirs


def read_all(link: Link, theirs: socket.socket) -> list[Any]:
    """Everything that was sent or waits, as the supervisor gets it."""
    decoder: Decoder[FromHost] = Decoder(FromHost)
    heard: list[Any] = []
    while link.pending:
        heard += decoder.feed(theirs.recv(1 << 16))
        link.flush()
    theirs.setblocking(False)
    try:
        while data := theirs.recv(1 << 16):
            heard += decoder.feed(data)
    except BlockingIOError:
        return heard
    raise AssertionError("the link is closed")


def test_other_messages_go_before_lines_that_wait() -> None:
    with linked() as (link, theirs):
        for number in range(2000):
            assert link.send(log(number), droppable=True)
        link.send(RETIRING)
        heard = read_all(link, theirs)
    assert heard.index(RETIRING) < 200
    heard.remove(RETIRING)
    assert heard == [log(number) for number in range(2000)]


def test_lines_are_dropped_beyond_the_bound_and_cost_no_other_message() -> None:
    with linked() as (link, theirs):
        lines = 0
        while link.send(log(lines), droppable=True):
            lines += 1
        assert link.pending < 1.1 * MAX_PENDING_BYTES
        assert link.send(STATS, droppable=True)
        link.send(log(lines))  # one of the host's own, which is not dropped
        heard = read_all(link, theirs)
    assert heard.index(STATS) < 200
    heard.remove(STATS)
    assert heard == [log(number) for number in range(lines + 1)]


def test_a_last_flush_waits_for_who_reads_no_longer_than_said() -> None:
    with linked() as (link, theirs):
        for number in range(2000):
            link.send(log(number))
        link.send(RETIRING)
        before = link.pending
        link.flush(seconds=0.05)  # nobody reads: it returns
        assert 0 < link.pending <= before
        assert RETIRING in read_all(link, theirs)
