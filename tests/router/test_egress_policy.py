"""Which addresses, names and URLs lead where: tables."""

import ipaddress

import pytest

from isolates.wire import WINDOW_BYTES
from router.egress.destination import OwnNames, parse
from router.egress.errors import EgressError
from router.egress.exchange import Exchange
from router.egress.headers import request
from router.egress.policy import AddressPolicy, AllowRuleError, is_public


class Silent:
    """A host's connection that takes frames, and grants nothing."""

    def send(self, frame: bytes) -> None: ...

    def finished(self, exchange: Exchange, error: EgressError | None) -> None: ...


ADDRESSES = {
    "1.1.1.1": True,
    "8.8.8.8": True,
    "100.63.255.255": True,
    "100.128.0.1": True,
    "172.15.0.1": True,
    "172.32.0.1": True,
    "192.0.1.1": True,
    "223.255.255.255": True,
    "2606:4700:4700::1111": True,
    "2a00:1450:4001::1": True,
    "::ffff:8.8.8.8": True,
    "64:ff9b::8.8.8.8": True,
    "0.0.0.0": False,
    "0.1.2.3": False,
    "10.0.0.1": False,
    "100.64.0.1": False,
    "100.100.100.200": False,
    "127.0.0.1": False,
    "127.255.255.254": False,
    "168.63.129.16": False,
    "169.254.169.254": False,
    "172.16.0.1": False,
    "172.31.255.255": False,
    "192.0.0.192": False,
    "192.0.2.1": False,
    "192.88.99.1": False,
    "192.168.1.1": False,
    "198.18.0.1": False,
    "198.51.100.1": False,
    "203.0.113.1": False,
    "224.0.0.1": False,
    "239.255.255.255": False,
    "240.0.0.1": False,
    "255.255.255.255": False,
    "::": False,
    "::1": False,
    "::127.0.0.1": False,
    "::ffff:127.0.0.1": False,
    "::ffff:169.254.169.254": False,
    "::ffff:0:127.0.0.1": False,
    "64:ff9b::127.0.0.1": False,
    "64:ff9b::a9fe:a9fe": False,
    "64:ff9b:1::8.8.8.8": False,
    "100::1": False,
    "2001::1": False,
    "2001:0:4136:e378:8000:63bf:3fff:fdd2": False,
    "2001:db8::1": False,
    "2002:7f00:1::": False,
    "2002:808:808::": False,
    "3fff::1": False,
    "5f00::1": False,
    "fc00::1": False,
    "fd00:ec2::254": False,
    "fe80::1": False,
    "fe80::1%eth0": False,
    "fec0::1": False,
    "ff02::1": False,
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_address_is_public_or_not(address: str) -> None:
    assert is_public(ipaddress.ip_address(address)) is ADDRESSES[address]


ALLOWED = {
    ("10.1.0.0/16", "10.1.2.3", "x", 80): True,
    ("10.1.0.0/16", "10.2.2.3", "x", 80): False,
    ("10.1.0.0/16", "::ffff:10.1.2.3", "x", 80): True,
    ("10.1.2.3", "10.1.2.3", "x", 80): True,
    ("127.0.0.1:9000", "127.0.0.1", "x", 9000): True,
    ("127.0.0.1:9000", "127.0.0.1", "x", 9001): False,
    ("fd00::/8", "fd12::1", "x", 80): True,
    ("fd00::1", "fd00::1", "x", 80): True,
    ("[fd00::1]:9000", "fd00::1", "x", 9000): True,
    ("[fd00::1]:9000", "fd00::1", "x", 80): False,
    ("db.internal", "10.0.0.1", "db.internal", 80): True,
    ("DB.Internal.", "10.0.0.1", "db.internal", 80): True,
    ("db.internal", "10.0.0.1", "x.db.internal", 80): False,
    ("db.internal:5432", "10.0.0.1", "db.internal", 5432): True,
    ("db.internal:5432", "10.0.0.1", "db.internal", 80): False,
    ("*.internal", "10.0.0.1", "a.b.internal", 80): True,
    ("*.internal", "10.0.0.1", "internal", 80): False,
    ("*.internal:80", "10.0.0.1", "a.internal", 80): True,
    ("localhost", "127.0.0.1", "127.0.0.1", 80): False,
}


@pytest.mark.parametrize("case", ALLOWED)
def test_operators_list_permits(case: tuple[str, str, str, int]) -> None:
    rule, address, host, port = case
    assert AddressPolicy([rule]).permits(ipaddress.ip_address(address), host, port) is ALLOWED[case]


@pytest.mark.parametrize(
    "rule", ["", "10.0.0.0/33", "a b", "host:port", "host:0", "host:70000", "http://x", "*", "a..b"]
)
def test_entry_that_means_nothing_is_refused(rule: str) -> None:
    with pytest.raises(AllowRuleError):
        AddressPolicy([rule])


URLS = {
    "http://example.com": ("http", "example.com", 80, b"example.com", b"/"),
    "https://example.com/a/b?c=d": ("https", "example.com", 443, b"example.com", b"/a/b?c=d"),
    "https://Example.COM.:443/": ("https", "example.com", 443, b"example.com", b"/"),
    "http://example.com:8080?x": ("http", "example.com", 8080, b"example.com:8080", b"/?x"),
    "http://example.com/a#b": ("http", "example.com", 80, b"example.com", b"/a"),
    "http://[::1]:80/": ("http", "::1", 80, b"[::1]", b"/"),
    "http://127.0.0.1:8080/v1": ("http", "127.0.0.1", 8080, b"127.0.0.1:8080", b"/v1"),
    "http://b\xc3\xbccher.example/": ("http", "xn--bcher-kva.example", 80, b"xn--bcher-kva.example", b"/"),
}


@pytest.mark.parametrize("url", URLS)
def test_url_is_split(url: str) -> None:
    assert tuple(parse(url.encode("latin-1"))) == URLS[url]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/path",
        "ftp://example.com/",
        "file:///etc/passwd",
        "http://",
        "http:///x",
        "http://user@example.com/",
        "http://user:secret@example.com/",
        "http://exa mple.com/",
        "http://example.com:99999/",
        "http://example.com:0/",
        "http://example.com:80:80/",
        "http://example.com/a b",
        "http://example.com/a\r\nx: y",
        "http://example.com\\@evil.example/",
        "http://[::1/",
        "http://[fe80::1%25eth0]/",
    ],
)
def test_url_that_cannot_be_fetched_is_refused(url: str) -> None:
    with pytest.raises(EgressError) as refused:
        parse(url.encode("latin-1"))
    assert refused.value.code == "protocol"


OWN = OwnNames(["127.0.0.1:8080", "localhost:8080", "[::1]:8080"], ["db.localhost", "localhost", "127.0.0.1"])
OWN.replace(["shop.example.com", "*.apps.example.com"])

NAMES = {
    "http://127.0.0.1:8080/v1/db-x": True,
    "http://localhost:8080/": True,
    "http://[::1]:8080/": True,
    "http://db.localhost/v1": True,
    "http://db.localhost:8080/v1": True,
    "https://db.localhost/v1": True,
    "http://shop.example.com/": True,
    "https://shop.example.com/": True,
    "http://SHOP.example.com:8080/": True,
    "http://a.apps.example.com/": True,
    "http://a.b.apps.example.com/": False,
    "http://apps.example.com/": False,
    "http://shop.example.com:9000/": False,
    "http://localhost:5432/": False,
    "http://localhost/": False,
    "http://127.0.0.1/": False,
    "http://127.0.0.1:8081/v1/projects": False,
    "http://127.0.0.2:8080/": False,
    "http://example.com:8080/": False,
    "http://example.com/": False,
}


@pytest.mark.parametrize("url", NAMES)
def test_name_is_the_nodes_own_or_not(url: str) -> None:
    assert OWN.include(parse(url.encode())) is NAMES[url]


@pytest.mark.parametrize("url", [b"http://1.1.1.1:25/", b"https://a.example:6667/", b"http://[2606:4700::1]:22/"])
def test_ports_of_other_services_are_blocked(url: bytes) -> None:
    with pytest.raises(EgressError, match="Fetch standard blocks it"):
        parse(url)


def test_a_response_that_nobody_reads_is_noticed() -> None:
    exchange = Exchange(Silent(), 1, request(b"GET\nhttp://a.example/\nid", b"", True)[0])
    exchange.respond(200, b"OK", [])
    assert not exchange.give(bytes(WINDOW_BYTES + 1), False)
    assert [exchange.unread_for(now) for now in (10.0, 20.0, 71.0)] == [0.0, 10.0, 61.0]
    exchange.window += 1
    exchange.give(b"more", False)
    assert exchange.unread_for(80.0) == 0.0
    assert exchange.unread_for(90.0) == 10.0
