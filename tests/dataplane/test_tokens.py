"""Tokens and batons as pure functions."""

import pytest

from dataplane.batons import Batons, ExpiredBaton, InvalidBaton
from dataplane.catalog import CatalogIndex
from dataplane.messages import Catalog, Database
from dataplane.tokens import TokenError, hash_token, new_database_token, new_query_token, verify

KEY = b"k" * 32
NAME = "db-aaaaaaaaaaaa"
NOW = 1_800_000_000.0


def catalog(token: str, epoch: int = 3) -> Catalog:
    return Catalog(1, {NAME: Database(NAME, hash_token(token), epoch, "/worker.sock")})


def query(ttl_seconds: float = 60, epoch: int = 3, database_id: str = NAME, key: bytes = KEY) -> str:
    return new_query_token(
        key, database_id=database_id, epoch=epoch, ttl_seconds=ttl_seconds, audience="a", access="ro", now=NOW
    )


def test_a_database_token_opens_its_database() -> None:
    token = new_database_token(NAME)
    access = verify(token, catalog(token), KEY, NOW)
    assert (access.database.database_id, access.read_only, access.expires) == (NAME, False, None)
    assert token != new_database_token(NAME)
    assert token.encode() not in hash_token(token)


def test_a_query_token_carries_its_rights_and_time() -> None:
    access = verify(query(), catalog("x"), KEY, NOW + 59)
    assert (access.read_only, access.audience, access.expires) == (True, "a", NOW + 60)


@pytest.mark.parametrize("audience", ["", "x" * 200, "😀" * 200])
def test_any_audience_fits_into_a_token(audience: str) -> None:
    token = new_query_token(KEY, database_id=NAME, epoch=3, ttl_seconds=60, audience=audience, access="rw", now=NOW)
    assert verify(token, catalog("x"), KEY, NOW).audience == audience


def test_the_life_of_a_query_token_is_clamped() -> None:
    assert verify(query(1e9), catalog("x"), KEY, NOW).expires == NOW + 3600
    assert verify(query(-5), catalog("x"), KEY, NOW).expires == NOW + 1


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "q.",
        "q..",
        "q.a.b",
        "q.é.b",
        NAME,
        f"{NAME}.wrong",
        query(epoch=2),
        query(epoch=4),
        query(database_id="db-bbbbbbbbbbbb"),
        query(key=b"other"),
        query()[:-2],
        query() + "x" * 2000,
    ],
)
def test_anything_else_is_the_same_error(token: str) -> None:
    with pytest.raises(TokenError) as caught:
        verify(token, catalog(new_database_token(NAME)), KEY, NOW)
    assert token == "" or token not in str(caught.value) or token == "."


def test_a_query_token_expires_although_it_was_verified_before() -> None:
    index = CatalogIndex(KEY)
    index.apply(catalog("x"))
    assert index.authorize(query(), NAME, NOW) is not None
    with pytest.raises(TokenError):
        index.authorize(query(), NAME, NOW + 60)


def test_a_new_catalog_ends_verified_tokens() -> None:
    index = CatalogIndex(KEY)
    token = new_database_token(NAME)
    index.apply(catalog(token))
    assert index.authorize(token, None, NOW) is not None
    assert index.authorize(token, "db-bbbbbbbbbbbb", NOW) is None
    index.apply(catalog(new_database_token(NAME)))
    with pytest.raises(TokenError):
        index.authorize(token, None, NOW)


def test_batons_are_worth_nothing_elsewhere() -> None:
    batons = Batons()
    baton = batons.issue(5, 7, NAME, 3)
    assert batons.read(baton, NAME, 3) == (5, 7)
    for database_id, epoch in ((NAME, 4), ("db-bbbbbbbbbbbb", 3)):
        with pytest.raises(InvalidBaton):
            batons.read(baton, database_id, epoch)
    for text in ("", "x", baton[:-4], baton + "AAAA", "é"):
        with pytest.raises(InvalidBaton):
            batons.read(text, NAME, 3)
    with pytest.raises(ExpiredBaton):
        Batons().read(baton, NAME, 3)
