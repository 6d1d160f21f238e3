import pytest

from router.hosts import BadHostError, HostCache, find, normalise


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"a.example", "a.example"),
        (b"A.Example:8080", "a.example"),
        (b"a.example.", "a.example"),
        (b"a.example.:80", "a.example"),
        (b"a.example:", "a.example"),
        (b"127.0.0.1:80", "127.0.0.1"),
        (b"[::1]:80", "[::1]"),
        (b"[0:0:0:0:0:0:0:1]", "[::1]"),
        (b"under_score.example", "under_score.example"),
        ("bücher.example".encode(), "xn--bcher-kva.example"),
        (b"XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        (b"a" * 63 + b".example", "a" * 63 + ".example"),
    ],
)
def test_a_host_header_has_one_canonical_form(raw: bytes, name: str) -> None:
    assert normalise(raw) == name


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b":80",
        b".",
        b"a..b",
        b".a",
        b"a.example..",
        b"a b",
        b" a",
        b"a/b",
        b"a@b",
        b"a,b",
        b"a%41",
        b"a:port",
        b"a:99999",
        b"a:1:2",
        b"[::1",
        b"[::1]x",
        b"[zz]",
        b"[fe80::1%25eth0]",
        b"-a.example",
        b"a" * 64,
        b"a." * 127 + b"a.a",
        b"\xff\xfe",
        "a\u2028b".encode(),
    ],
)
def test_a_malformed_host_header_is_refused(raw: bytes) -> None:
    with pytest.raises(BadHostError):
        normalise(raw)


def test_an_exact_name_wins_over_a_wildcard() -> None:
    names = {"a.example.com": 1, "*.example.com": 2}
    assert find(names, "a.example.com") == 1
    assert find(names, "b.example.com") == 2


@pytest.mark.parametrize("host", ["example.com", "a.b.example.com", "other"])
def test_a_wildcard_stands_for_exactly_one_label(host: str) -> None:
    assert find({"*.example.com": 1}, host) is None


def test_the_cache_answers_as_the_table_does_when_it_overflows() -> None:
    cache = HostCache({"a.example": 1, "*.wild.example": 2}, limit=4)
    for number in range(20):
        assert cache.find(b"%d.wild.example" % number) == 2
        assert cache.find(b"%d.example" % number) is None
        assert cache.find(b"A.example") == 1
