import pytest

from router.headers import BadResponseError, Peer, ResponseHead, Trust, request_head, split

Pairs = list[tuple[bytes, bytes]]


def sent(headers: Pairs, *, trusted: bool = False, address: str = "203.0.113.7") -> tuple[bytes, Pairs]:
    """Return the URL and the header fields that a host receives."""
    peer = Peer(address, trusted)
    head = request_head(b"GET", b"/x%2Fy?q", b"a.localhost:81", *split(headers), peer, b"id-1")
    fields = head.split(b"\n")
    assert fields[0] == b"GET"
    assert fields[2] == b"id-1"
    return fields[1], list(zip(fields[3::2], fields[4::2], strict=True))


def test_the_target_and_host_are_passed_on_as_received() -> None:
    assert sent([])[0] == b"http://a.localhost:81/x%2Fy?q"


def test_order_and_duplicates_are_kept() -> None:
    headers = [(b"b", b"1"), (b"a", b"2"), (b"b", b"3"), (b"cookie", b"x")]
    assert sent(headers)[1][:4] == headers


def test_cookies_in_several_fields_become_one() -> None:
    assert sent([(b"cookie", b"a=1"), (b"b", b"cookie"), (b"cookie", b"c=2; d=3")])[1][:2] == [
        (b"b", b"cookie"),
        (b"cookie", b"a=1; c=2; d=3"),
    ]


@pytest.mark.parametrize(
    "name", [b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"proxy-connection"]
)
@pytest.mark.parametrize("trusted", [False, True])
def test_hop_by_hop_fields_end_here(name: bytes, trusted: bool) -> None:
    assert name not in dict(sent([(name, b"close")], trusted=trusted)[1])


@pytest.mark.parametrize("trusted", [False, True])
def test_fields_listed_by_connection_end_here(trusted: bool) -> None:
    received = dict(sent([(b"x-a", b"1"), (b"connection", b"X-A , close"), (b"x-b", b"2")], trusted=trusted)[1])
    assert b"x-a" not in received
    assert received[b"x-b"] == b"2"


@pytest.mark.parametrize("name", [b"host", b"content-length", b"authorization", b"cookie", b"x-forwarded-for"])
def test_connection_cannot_take_essential_fields_away(name: bytes) -> None:
    headers = [(b"host", b"a"), (b"content-length", b"0"), (b"authorization", b"b"), (b"cookie", b"c")]
    assert name in dict(sent([*headers, (b"connection", name)])[1])


def test_an_unknown_peer_cannot_say_where_it_comes_from() -> None:
    lies = [
        (b"x-forwarded-for", b"1.1.1.1"),
        (b"x-forwarded-proto", b"https"),
        (b"x-forwarded-host", b"evil"),
        (b"forwarded", b"for=1.1.1.1"),
        (b"x-request-id", b"evil"),
    ]
    url, received = sent(lies)
    assert url.startswith(b"http://")
    assert received == [
        (b"x-forwarded-for", b"203.0.113.7"),
        (b"x-forwarded-proto", b"http"),
        (b"x-forwarded-host", b"a.localhost:81"),
        (b"forwarded", b'for=203.0.113.7;host="a.localhost:81";proto=http'),
        (b"x-request-id", b"id-1"),
    ]


def test_a_trusted_proxy_is_believed_and_extended() -> None:
    url, received = sent(
        [
            (b"x-forwarded-for", b"1.1.1.1"),
            (b"x-forwarded-for", b"2.2.2.2"),
            (b"x-forwarded-proto", b"https"),
            (b"x-forwarded-host", b"shop.example"),
            (b"forwarded", b"for=1.1.1.1"),
        ],
        trusted=True,
    )
    assert url.startswith(b"https://a.localhost:81/")
    assert received == [
        (b"x-forwarded-for", b"1.1.1.1, 2.2.2.2, 203.0.113.7"),
        (b"x-forwarded-proto", b"https"),
        (b"x-forwarded-host", b"shop.example"),
        (b"forwarded", b'for=1.1.1.1, for=203.0.113.7;host="a.localhost:81";proto=http'),
        (b"x-request-id", b"id-1"),
    ]


def test_a_trusted_proxy_with_an_odd_scheme_is_not_believed_about_it() -> None:
    assert sent([(b"x-forwarded-proto", b"gopher")], trusted=True)[0].startswith(b"http://")


def test_an_ipv6_client_is_quoted_in_forwarded() -> None:
    received = dict(sent([], address="2001:db8::1")[1])
    assert received[b"x-forwarded-for"] == b"2001:db8::1"
    assert received[b"forwarded"].startswith(b'for="[2001:db8::1]";')


@pytest.mark.parametrize(
    ("address", "covered"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("11.0.0.1", False),
        ("fd00::5", True),
        ("", True),
        ("unknown", False),
    ],
)
def test_trust_covers_networks(address: str, covered: bool) -> None:
    assert Trust(["10.0.0.0/8", "fd00::/8"]).covers(address) is covered


def test_nobody_is_trusted_by_default() -> None:
    assert not Trust([]).covers("127.0.0.1")


def test_a_response_keeps_duplicates_and_loses_hop_by_hop_fields() -> None:
    head = ResponseHead(
        b"Fine\nset-cookie\na=1\nset-cookie\nb=2\nconnection\nclose\ntransfer-encoding\nchunked\n"
        b"content-length\n12\nx-request-id\nforged\nx-a\n"
    )
    assert head.reason == b"Fine"
    assert head.length == 12
    assert head.pairs() == [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"x-a", b"")]


def test_fields_listed_by_a_response_s_connection_end_here() -> None:
    head = ResponseHead(b"\nx-a\n1\nconnection\nX-A, content-type\ncontent-type\ntext/plain\nx-b\n2")
    assert head.pairs() == [(b"content-type", b"text/plain"), (b"x-b", b"2")]


@pytest.mark.parametrize(
    "head",
    [
        b"\nx\na\rb",
        b"\nx\na\0b",
        b"\nx",
        b"\nX-Upper\n1",
        b"\nx y\n1",
        b"\n\n1",
        b"\nx:\n1",
        b"\ncontent-length\n-1",
        b"\ncontent-length\n1\ncontent-length\n2",
        b"\ncontent-length\n1x",
    ],
)
def test_a_response_head_that_would_break_the_framing_is_refused(head: bytes) -> None:
    with pytest.raises(BadResponseError):
        ResponseHead(head)
