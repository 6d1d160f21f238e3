"""The throttle for wrong tokens, as a table of times."""

from dataplane.throttle import ADDRESSES, FAILURES, SECONDS_PER_FAILURE, Throttle


def test_a_burst_is_free_and_then_one_in_a_while() -> None:
    throttle = Throttle()
    assert [throttle.failed("a", 0.0) for _ in range(FAILURES)] == [0.0] * FAILURES
    assert throttle.failed("a", 0.0) == SECONDS_PER_FAILURE
    assert throttle.failed("b", 0.0) == 0.0
    assert throttle.failed("a", SECONDS_PER_FAILURE) == 0.0
    assert throttle.failed("a", SECONDS_PER_FAILURE) > 0


def test_a_client_has_many_addresses_of_ipv6() -> None:
    throttle = Throttle()
    waits = [throttle.failed(f"2001:db8:1:2::{number:x}", 0.0) for number in range(FAILURES)]
    assert waits == [0.0] * FAILURES
    assert throttle.failed("2001:db8:1:2:ffff::1", 0.0) > 0
    assert throttle.failed("2001:db8:1:3::1", 0.0) == 0
    for _ in range(FAILURES):
        throttle.failed("::ffff:192.0.2.1", 0.0)
    assert throttle.failed("192.0.2.1", 0.0) > 0
    assert throttle.failed("::ffff:192.0.2.2", 0.0) == 0


def test_it_forgets_the_oldest_addresses() -> None:
    throttle = Throttle()
    for _ in range(FAILURES):
        throttle.failed("a", 0.0)
    for number in range(ADDRESSES):
        throttle.failed(str(number), 0.0)
    assert throttle.failed("a", 0.0) == 0.0
    assert repr(throttle) == f"<Throttle {ADDRESSES} addresses>"
