"""Whose WebSocket ends when too many messages wait for their answers."""

import pytest

from dataplane.unanswered import Messages, Unanswered

MIB = 1 << 20


def opened(unanswered: Unanswered, *database_ids: str) -> list[Messages]:
    return [unanswered.open(database_id, lambda why: None) for database_id in database_ids]


def test_over_the_bound_of_a_database_its_greediest_ends_and_no_other() -> None:
    unanswered = Unanswered(10 * MIB, 100 * MIB)
    greedy, modest, other = opened(unanswered, "a", "a", "b")
    assert [*unanswered.add(other, 9 * MIB), *unanswered.add(greedy, 5 * MIB), *unanswered.add(greedy, 4 * MIB)] == []
    [(ends, why)] = unanswered.add(modest, 2 * MIB)
    assert ends is greedy
    assert why == "WebSockets of its database had over 10 MiB of unanswered messages, this one most of all"
    assert repr(unanswered) == f"<Unanswered [{11 * MIB} bytes of 2 databases]>"
    assert list(unanswered.add(modest, 8 * MIB)) == []


def test_over_the_bound_of_all_the_database_that_has_most_pays() -> None:
    unanswered = Unanswered(10 * MIB, 15 * MIB)
    first, second, other = opened(unanswered, "a", "a", "b")
    assert [*unanswered.add(first, 5 * MIB), *unanswered.add(second, 4 * MIB), *unanswered.add(other, 6 * MIB)] == []
    [(ends, why)] = unanswered.add(other, 1)
    assert ends is first
    assert why == "WebSockets of the node had over 15 MiB of unanswered messages, this one most of all"


def test_one_message_too_large_for_the_bound_ends_its_own() -> None:
    unanswered = Unanswered(10 * MIB)
    (lonely,) = opened(unanswered, "a")
    assert [ends for ends, _ in unanswered.add(lonely, 11 * MIB)] == [lonely]
    assert repr(unanswered) == "<Unanswered [0 bytes of 0 databases]>"


@pytest.mark.parametrize("closed_first", [False, True])
def test_what_was_answered_and_what_has_ended_counts_no_more(closed_first: bool) -> None:
    unanswered = Unanswered(10 * MIB)
    one, other = opened(unanswered, "a", "a")
    assert [*unanswered.add(one, 3), *unanswered.add(one, 5), *unanswered.add(other, 1)] == []
    if closed_first:
        unanswered.close(one)
    unanswered.answered(one)
    assert (len(one), one.bytes) == (1, 5)  # which of the two it was is not known
    unanswered.answered(one)
    unanswered.close(one)
    unanswered.close(one)
    assert repr(unanswered) == "<Unanswered [1 bytes of 1 databases]>"


def test_what_has_not_been_passed_on_counts_too() -> None:
    unanswered = Unanswered(10 * MIB)
    one, other = opened(unanswered, "a", "a")
    assert [*unanswered.hold(one, 6 * MIB), *unanswered.hold(one, 0), *unanswered.add(one, 6 * MIB)] == []
    assert [*unanswered.hold(other, 3 * MIB), *unanswered.hold(one, 1 * MIB)] == []
    unanswered.answered(one)
    assert repr(unanswered) == f"<Unanswered [{4 * MIB} bytes of 1 databases]>"
    assert [ends for ends, _ in unanswered.hold(one, 8 * MIB)] == [one]
    assert list(unanswered.hold(one, 9 * MIB)) == []
    assert repr(unanswered) == f"<Unanswered [{3 * MIB} bytes of 1 databases]>"
