"""Who hears a message over BroadcastChannel, decided without I/O."""

import pytest

from router.egress import broadcast
from router.egress.broadcast import BroadcastError, Channels


def opened(*hosts: tuple[str, str, int, bytes]) -> Channels[str]:
    channels: Channels[str] = Channels()
    for app_id, host, number, name in hosts:
        channels.subscribe(app_id, host, number, name, 0.0)
    return channels


def test_other_hosts_of_the_app_with_the_name_hear_it_under_their_own_number() -> None:
    channels = opened(
        ("one", "a", 1, b"news"),
        ("one", "b", 7, b"news"),
        ("one", "b", 8, b"else"),
        ("one", "c", 1, b"else"),
        ("two", "d", 1, b"news"),
    )
    assert list(channels.receivers("one", "a", 1, 10, 0.0)) == [("b", 7)]
    assert list(channels.receivers("two", "d", 1, 10, 0.0)) == []
    assert list(channels.receivers("one", "a", 2, 10, 0.0)) == []


def test_nobody_hears_after_unsubscribing_or_leaving() -> None:
    channels = opened(("one", "a", 1, b"news"), ("one", "b", 1, b"news"), ("one", "c", 1, b"news"))
    channels.unsubscribe("one", "b", 1)
    assert list(channels.receivers("one", "a", 1, 10, 0.0)) == [("c", 1)]
    channels.leave("one", "c")
    assert list(channels.receivers("one", "a", 1, 10, 0.0)) == []
    channels.leave("one", "a")
    assert repr(channels) == "<Channels 0 apps, 1 hosts>"
    channels.leave("one", "b")
    assert repr(channels) == "<Channels 0 apps, 0 hosts>"


def test_what_an_app_sends_is_bounded_and_the_rest_counted() -> None:
    channels = opened(("one", "a", 1, b"news"), ("one", "b", 3, b"news"))
    sent = sum(len(list(channels.receivers("one", "a", 1, 1, 0.0))) for _ in range(15_000))
    assert sent == broadcast.DELIVERIES_PER_SECOND
    assert channels.take_missed("b", 3) == 5_000
    assert channels.take_missed("b", 3) == 0
    assert list(channels.receivers("one", "a", 1, 1, 1.0)) == [("b", 3)]
    size = 1 << 20
    sent = sum(len(list(channels.receivers("one", "a", 1, size, 1.0))) for _ in range(30))
    assert sent == 15
    # Another app has bounds of its own, and closing a channel does not renew them.
    channels.subscribe("two", "c", 1, b"news", 1.0)
    channels.subscribe("two", "d", 1, b"news", 1.0)
    assert list(channels.receivers("two", "c", 1, size, 1.0)) == [("d", 1)]
    channels.unsubscribe("one", "a", 1)
    channels.unsubscribe("one", "b", 3)
    channels.subscribe("one", "a", 1, b"news", 1.0)
    channels.subscribe("one", "b", 3, b"news", 1.0)
    assert list(channels.receivers("one", "a", 1, size, 1.0)) == []


def test_what_javascript_never_does_is_an_error() -> None:
    channels = opened(("one", "a", 1, b"news"))
    for number, name in ((1, b"other"), (2, b"news"), (3, b"x" * 5000)):
        with pytest.raises(BroadcastError):
            channels.subscribe("one", "a", number, name, 0.0)
    for number in range(2, 1001):
        channels.subscribe("one", "a", number, str(number).encode(), 0.0)
    with pytest.raises(BroadcastError):
        channels.subscribe("one", "a", 1001, b"one too many", 0.0)
