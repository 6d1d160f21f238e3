"""RFC 6455 frames and RFC 7692 compression, by hand: what is taken, what is refused and with which code."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isolates.wire import SOCKET_PIECE_BYTES
from router.errors import EdgeError
from router.websocket.deflate import Agreement, Deflate, Inflate, agree
from router.websocket.frames import Event, FrameError, Opcode, Reader, close_payload, frame, is_close_code
from router.websocket.handshake import accept_value, checked_key, chosen_protocol

MASK = b"\x12\x34\x56\x78"
TEXT, BINARY, CLOSE, PING = Opcode.TEXT, Opcode.BINARY, Opcode.CLOSE, Opcode.PING


def reader(*, most: int = 1 << 20, inflater: Inflate | None = None) -> Reader:
    return Reader(masked=True, max_message_bytes=most, inflater=inflater)


def masked(opcode: int, payload: bytes = b"", *, fin: bool = True, compressed: bool = False) -> bytes:
    return frame(opcode, payload, fin=fin, compressed=compressed, mask=MASK)


def read(taker: Reader, data: bytes) -> list[Event]:
    taker.feed(data)
    events = []
    while (event := taker.next()) is not None:
        events.append(event)
    return events


def messages(events: list[Event]) -> list[tuple[int, bytes]]:
    """Events with the pieces of each message put together."""
    whole, pieces = [], b""
    for event in events:
        pieces += event.data
        if not event.more:
            whole.append((event.opcode, pieces))
            pieces = b""
    return whole


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 200_000])
def test_every_length(size: int) -> None:
    payload = bytes(range(256)) * (size // 256 + 1)
    assert messages(read(reader(), masked(BINARY, payload[:size]))) == [(BINARY, payload[:size])]


@given(
    st.lists(st.tuples(st.booleans(), st.lists(st.binary(max_size=300), min_size=1, max_size=4)), max_size=5),
    st.integers(1, 200),
)
def test_whatever_the_pieces_in_which_it_arrives(sent: list[tuple[bool, list[bytes]]], step: int) -> None:
    data, expected = b"", []
    for ping, pieces in sent:
        for number, piece in enumerate(pieces):
            opcode = Opcode.CONTINUATION if number else BINARY
            data += masked(opcode, piece, fin=number == len(pieces) - 1)
            if ping:
                data += masked(PING, b"?")
        expected.append((BINARY, b"".join(pieces)))
    taker = reader()
    events = [event for at in range(0, len(data), step) for event in read(taker, data[at : at + step])]
    assert messages([event for event in events if event.opcode == BINARY]) == expected


def test_a_message_is_handed_on_in_pieces_of_bounded_size() -> None:
    events = read(reader(), masked(TEXT, b"x" * 100_000))
    assert max(len(event.data) for event in events) == SOCKET_PIECE_BYTES
    assert [event.more for event in events] == [True, True, True, False]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, b"not masked"), 1002),
        (b"\xc1\x80" + MASK, 1002),  # RSV1 without an extension
        (b"\xa1\x80" + MASK, 1002),
        (b"\x91\x80" + MASK, 1002),
        (b"\x83\x80" + MASK, 1002),  # opcodes that are not
        (b"\x8b\x80" + MASK, 1002),
        (masked(Opcode.CONTINUATION, b"of nothing"), 1002),
        (masked(TEXT, b"a", fin=False) + masked(TEXT, b"b"), 1002),
        (masked(PING, fin=False), 1002),
        (b"\x89\xfe\x00\x7e" + MASK, 1002),  # a ping of 126 bytes
        (b"\x81\xfe\x00\x05" + MASK, 1002),  # lengths that are longer than they need be
        (b"\x81\xff" + (5).to_bytes(8, "big") + MASK, 1002),
        (b"\x81\xff" + (1 << 63).to_bytes(8, "big") + MASK, 1002),
        (b"\x82\xff" + (1 << 40).to_bytes(8, "big") + MASK, 1009),
        (masked(CLOSE, b"\x03"), 1002),
        (masked(CLOSE, close_payload(1005, b"")), 1002),
        (masked(CLOSE, close_payload(999, b"")), 1002),
        (masked(CLOSE, close_payload(1016, b"")), 1002),
        (masked(CLOSE, close_payload(5000, b"")), 1002),
        (masked(CLOSE, b"\x03\xe8\xff"), 1007),
        (masked(TEXT, b"\xff"), 1007),
        (masked(TEXT, b"\xed\xa0\x80"), 1007),  # a surrogate
        (masked(TEXT, "é".encode()[:1]), 1007),  # cut off
        (masked(TEXT, b"ok", fin=False) + masked(Opcode.CONTINUATION, b"\xc3"), 1007),
    ],
)
def test_what_is_refused(data: bytes, code: int) -> None:
    with pytest.raises(FrameError) as caught:
        read(reader(), data)
    assert caught.value.code == code


def test_characters_may_be_split_between_frames() -> None:
    data = masked(TEXT, "é".encode()[:1], fin=False) + masked(Opcode.CONTINUATION, "é".encode()[1:])
    assert messages(read(reader(), data)) == [(TEXT, "é".encode())]


def test_the_limit_counts_the_whole_message() -> None:
    assert messages(read(reader(most=10), masked(BINARY, b"x" * 10))) == [(BINARY, b"x" * 10)]
    taker = reader(most=10)
    assert read(taker, masked(BINARY, b"x" * 6, fin=False))[0].more
    with pytest.raises(FrameError) as caught:
        read(taker, masked(Opcode.CONTINUATION, b"x" * 5))
    assert caught.value.code == 1009


def test_a_close_frame_has_a_code_and_a_reason_or_neither() -> None:
    assert read(reader(), masked(CLOSE)) == [Event(CLOSE, b"")]
    assert read(reader(), masked(CLOSE, close_payload(4999, b"why"))) == [Event(CLOSE, b"why", code=4999)]
    assert len(close_payload(1000, ("é" * 100).encode())) == 124
    assert [code for code in range(6000) if is_close_code(code)] == [
        *(1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014),
        *range(3000, 5000),
    ]


def agreed(offer: bytes) -> Agreement:
    found = agree(offer)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        (b"permessage-deflate", b"permessage-deflate; server_max_window_bits=12"),
        (
            b"permessage-deflate; client_max_window_bits",
            b"permessage-deflate; server_max_window_bits=12; client_max_window_bits=12",
        ),
        (
            b"permessage-deflate; client_max_window_bits=10; server_max_window_bits=9; server_no_context_takeover",
            b"permessage-deflate; server_max_window_bits=9; client_max_window_bits=10; server_no_context_takeover",
        ),
        (b"x-unknown, permessage-deflate; server_max_window_bits=8", None),
        (b"permessage-deflate; unknown", None),
        (b"permessage-deflate; client_no_context_takeover; client_no_context_takeover", None),
        (b"permessage-deflate; server_max_window_bits", None),
        (b"permessage-deflate; nonsense=1, permessage-deflate", b"permessage-deflate; server_max_window_bits=12"),
    ],
)
def test_compression_is_agreed_on(offer: bytes, answer: bytes | None) -> None:
    found = agree(offer)
    assert (found.answer if found is not None else None) == answer


@pytest.mark.parametrize("offer", [b"permessage-deflate", b"permessage-deflate; client_no_context_takeover"])
def test_compressed_messages_of_a_client(offer: bytes) -> None:
    agreement = agreed(offer)
    inflater = Inflate(agreement)
    taker = reader(inflater=inflater)
    stream = zlib.compressobj(wbits=-15)
    for payload in (b"hello" * 1000, b"", "é".encode() * 60_000, b"x"):
        if not agreement.their_takeover:
            stream = zlib.compressobj(wbits=-15)
        packed = (stream.compress(payload) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]
        half = len(packed) // 2
        data = masked(TEXT, packed[:half], fin=False, compressed=True) + masked(PING, b"between")
        events = read(taker, data + masked(Opcode.CONTINUATION, packed[half:]))
        assert messages([event for event in events if event.opcode == TEXT]) == [(TEXT, payload)]
    assert read(taker, masked(BINARY, b"plain")) == [Event(BINARY, b"plain")]


def test_a_bomb_costs_no_more_than_the_limit() -> None:
    stream = zlib.compressobj(9, wbits=-15)
    packed = stream.compress(b"\0" * (64 << 20)) + stream.flush(zlib.Z_SYNC_FLUSH)[:-4]
    taker = reader(inflater=Inflate(agreed(b"permessage-deflate")))
    taker.feed(masked(BINARY, packed, compressed=True))
    size = 0
    with pytest.raises(FrameError) as caught:
        while (event := taker.next()) is not None:
            assert len(event.data) <= SOCKET_PIECE_BYTES
            size += len(event.data)
    assert caught.value.code == 1009
    assert size <= 1 << 20


def test_what_is_no_deflate_is_refused() -> None:
    with pytest.raises(FrameError) as caught:
        read(reader(inflater=Inflate(agreed(b"permessage-deflate"))), masked(TEXT, b"\xff" * 20, compressed=True))
    assert caught.value.code == 1007


@pytest.mark.parametrize("offer", [b"permessage-deflate", b"permessage-deflate; server_no_context_takeover"])
def test_what_is_compressed_here_can_be_read(offer: bytes) -> None:
    deflate = Deflate(agreed(offer))
    stream = zlib.decompressobj(-12)
    for pieces in ([b"one message" * 100], [b"in " * 50, b"", b"pieces" * 90], [b""]):
        if "no_context" in offer.decode():
            stream = zlib.decompressobj(-12)
        packed = b"".join(deflate.compress(piece, number == len(pieces) - 1) for number, piece in enumerate(pieces))
        assert stream.decompress(packed + b"\x00\x00\xff\xff") == b"".join(pieces)


def test_the_handshake() -> None:
    assert accept_value(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    fields = [(b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="), (b"sec-websocket-version", b"13")]
    assert checked_key(fields) == b"dGhlIHNhbXBsZSBub25jZQ=="
    for wrong, status in (
        ([(b"sec-websocket-key", b"short"), fields[1]], 400),
        ([fields[1]], 400),
        ([fields[0], (b"sec-websocket-version", b"8")], 426),
    ):
        with pytest.raises(EdgeError) as caught:
            checked_key(wrong)
        assert caught.value.status == status
    assert chosen_protocol(b"", [b"a"]) is None
    assert chosen_protocol(b"a", [b"a"]) == b"a"
    with pytest.raises(ValueError, match="not offered"):
        chosen_protocol(b"b", [b"a"])
