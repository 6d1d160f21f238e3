"""Tickets of hosts: made and read with the node's key."""

import pytest

from router.identity import Identity, IdentityError, seal, unseal

KEY = b"k" * 32
IDENTITY = Identity("app-1", "build-1")


def test_a_ticket_tells_the_identity_that_was_sealed() -> None:
    assert unseal(seal(IDENTITY, KEY), KEY) == IDENTITY


def test_every_changed_byte_is_noticed() -> None:
    ticket = seal(IDENTITY, KEY)
    for index in range(len(ticket)):
        changed = bytearray(ticket)
        changed[index] ^= 1
        with pytest.raises(IdentityError):
            unseal(bytes(changed), KEY)


@pytest.mark.parametrize("ticket", [b"", b"short", seal(IDENTITY, b"other")])
def test_what_was_not_sealed_with_the_key_is_refused(ticket: bytes) -> None:
    with pytest.raises(IdentityError):
        unseal(ticket, KEY)
