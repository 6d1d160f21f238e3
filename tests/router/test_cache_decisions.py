"""What the cache decides without a disk or a clock: what may be stored, what is answered, what has to go."""

import pytest

from router.cache.budget import Excess, Limits, excess, refusal
from router.cache.calls import without_search
from router.cache.freshness import Storable, storable
from router.cache.matching import part, varies, vary_names

NOW = 1_700_000_000.0
THEN = b"Tue, 14 Nov 2023 22:13:20 GMT"
"""`NOW` as a header has it."""
HOUR_LATER = b"Tue, 14 Nov 2023 23:13:20 GMT"


def lifetime(*fields: tuple[bytes, bytes]) -> float | str | None:
    """Seconds until it expires, None if it does not, `never` if it must not be stored."""
    decided = storable(fields, NOW)
    if decided is None:
        return "never"
    return None if decided.expires is None else decided.expires - NOW


CC = b"cache-control"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], None),
        ([(CC, b"public")], None),
        ([(CC, b"max-age=60")], 60.0),
        ([(CC, b"MAX-AGE=60")], 60.0),
        ([(CC, b'max-age="60"')], 60.0),
        ([(CC, b"max-age=60, s-maxage=10")], 10.0),
        ([(CC, b"s-maxage=10"), (CC, b"max-age=60")], 10.0),
        ([(CC, b"max-age=60"), (CC, b"max-age=5")], 60.0),
        ([(CC, b"max-age=99999999999999999999")], "never"),
        ([(CC, b"max-age=9999999999999")], 315_360_000.0),
        ([(CC, b"max-age=-1")], "never"),
        ([(CC, b"max-age")], "never"),
        ([(CC, b"max-age=60"), (b"age", b"50")], 10.0),
        ([(CC, b"max-age=60"), (b"age", b"60")], "never"),
        ([(b"expires", HOUR_LATER)], 3600.0),
        ([(b"expires", HOUR_LATER), (b"date", HOUR_LATER)], "never"),
        ([(b"expires", HOUR_LATER), (b"date", THEN), (b"age", b"600")], 3000.0),
        ([(b"expires", b"0")], "never"),
        ([(b"expires", HOUR_LATER), (CC, b"max-age=5")], 5.0),
        ([(CC, b"no-store")], "never"),
        ([(CC, b"no-store, max-age=60")], "never"),
        ([(CC, b"private, max-age=60")], "never"),
        ([(CC, b"no-cache")], "never"),
        ([(CC, b"x-no-store, max-age=60")], 60.0),
        ([(CC, b'ext="no-store, private", max-age=60')], 60.0),
        ([(b"set-cookie", b"a=1")], "never"),
        ([(b"set-cookie", b"a=1"), (CC, b'private="x-other"')], "never"),
    ],
)
def test_how_long_a_response_may_be_kept(fields: list[tuple[bytes, bytes]], expected: float | str | None) -> None:
    assert lifetime(*fields) == expected


def test_fields_that_are_private_are_kept_out() -> None:
    fields = [(b"set-cookie", b"a=1"), (CC, b'private="Set-Cookie, X-Two", no-cache="x-three"')]
    assert storable(fields, NOW) == Storable(None, frozenset({b"set-cookie", b"x-two", b"x-three"}))


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (b"", b""),
        (b"Accept, accept-language", b"accept,accept-language"),
        (b" , Accept ,", b"accept"),
        (b"accept, *", b"*"),
    ],
)
def test_names_of_vary(value: bytes, names: bytes) -> None:
    assert vary_names([(b"vary", value)]) == names


def test_requests_that_differ_where_the_response_does() -> None:
    one, two, none = [(b"accept", b"a")], [(b"accept", b"b")], [(b"x", b"a")]
    assert not varies(b"", one, two)
    assert varies(b"accept", one, two)
    assert varies(b"accept", one, none)
    assert not varies(b"accept", none, none)
    assert not varies(b"accept", [*one, *two], [(b"accept", b"a, b")])
    assert varies(b"*", one, one)


@pytest.mark.parametrize(
    ("asked", "status", "start", "length"),
    [
        (b"bytes=0-0", 206, 0, 1),
        (b"bytes=9-", 206, 9, 1),
        (b"bytes=-20", 206, 0, 10),
        (b"Bytes= 2-3 ", 206, 2, 2),
        (b"bytes=10-12", 416, 0, 0),
        (b"bytes=-0", 416, 0, 0),
        (b"bytes=3-2", 200, 0, 10),
        (b"bytes=0-1,2-3", 200, 0, 10),
        (b"bytes=a-b", 200, 0, 10),
        (b"bytes=99999999999999999999-", 200, 0, 10),
    ],
)
def test_ranges(asked: bytes, status: int, start: int, length: int) -> None:
    found = part([(b"range", asked)], 200, b"OK", [(b"content-length", b"10")], 10)
    assert (found.status, found.start, found.length) == (status, start, length)


def test_a_range_applies_to_a_whole_response_only() -> None:
    assert part([(b"range", b"bytes=0-0")], 404, b"", [], 10).status == 404
    assert part([(b"range", b"bytes=0-0")], 200, b"", [], 0).status == 416


@pytest.mark.parametrize(
    ("condition", "modified", "status"),
    [
        (b"Mon, 23 Nov 2026 02:00:00 GMT", b"Mon, 23 Nov 2026 02:00:00 GMT", 206),
        (b"Mon, 23 Nov 2026 01:00:00 GMT", b"Mon, 23 Nov 2026 02:00:00 GMT", 200),
        (b"yesterday", b"today", 200),
    ],
)
def test_a_range_on_condition_of_a_date(condition: bytes, modified: bytes, status: int) -> None:
    asked = [(b"range", b"bytes=0-0"), (b"if-range", condition)]
    assert part(asked, 200, b"OK", [(b"last-modified", modified)], 10).status == status


def test_a_url_without_its_search() -> None:
    assert without_search(b"http://a/b?c#d") == b"http://a/b"
    assert without_search(b"http://a/b#c?d") == b"http://a/b"


LIMITS = Limits(app_bytes=3200, total_bytes=6400, entry_bytes=1000)


def test_an_app_within_its_limit_gives_up_nothing() -> None:
    assert excess({"a": 3200, "b": 3200}, {}, LIMITS, "a") is None


def test_an_app_over_its_limit_gives_up_its_own() -> None:
    assert excess({"a": 3300, "b": 9000}, {}, LIMITS, "a") == Excess("a", 200)
    assert excess({"a": 3000}, {"a": 300}, LIMITS, "a") == Excess("a", 200)


def test_together_over_the_limit_the_largest_gives_way() -> None:
    assert excess({"a": 1000, "b": 2400, "c": 3100}, {}, LIMITS, "a") == Excess("c", 200)
    assert excess({}, {"a": 9000}, LIMITS, "b") is None


def test_what_is_too_large_is_refused_by_the_name_of_the_limit() -> None:
    limits = Limits(app_bytes=4 << 20, total_bytes=8 << 20, entry_bytes=2 << 20)
    assert refusal({}, limits, "a", 2 << 20, 1) is None
    assert "cache_entry_mb = 2" in (refusal({}, limits, "a", (2 << 20) + 1, 1) or "")
    assert "cache_mb = 4" in (refusal({"a": 4 << 20}, limits, "a", 1, 1) or "")
    assert "the node" in (refusal({"b": 4 << 20, "c": 4 << 20}, limits, "a", 1, 1) or "")
