"""The host's side of Web Crypto: what is refused, and the way of requests and replies through a small buffer."""

import random
import select
import struct
from collections.abc import Callable

import pytest

from isolates.crypto import ciphers, der, keys, signatures
from isolates.crypto.calls import Calls, CryptoOp, Refusal
from isolates.crypto.failures import DataError, OperationError, Refused
from isolates.crypto.functions import Function, run
from isolates.crypto.small_order import has_small_order

KEY = bytes(range(16))


class Side:
    """JavaScript's side of the calls, over a buffer of 256 bytes."""

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(256))
        self.watched: dict[int, Callable[[], None]] = {}
        self.told = 0
        self.calls = Calls(self.buffer, watch=self.watched.__setitem__, on_done=self.tell)

    def tell(self) -> None:
        self.told += 1

    def call(self, function: int, *fields: bytes) -> tuple[int, int, int]:
        request = struct.pack("<I", function)
        request += b"".join(struct.pack("<I", len(field)) + field for field in fields)
        pieces = [request[at : at + 256] for at in range(0, len(request), 256)]
        for piece in pieces[:-1]:
            self.buffer[: len(piece)] = piece
            assert self.calls.run(CryptoOp.PREPARE, len(piece)) == (0, 0, 0)
        self.buffer[: len(pieces[-1])] = pieces[-1]
        return self.calls.run(CryptoOp.CALL, len(pieces[-1]))

    def reply(self, size: int) -> bytes:
        reply = bytes(self.buffer[:size])
        while len(reply) < size:
            _, count, _ = self.calls.run(CryptoOp.MORE, len(reply))
            reply += bytes(self.buffer[:count])
        return reply


def test_requests_and_replies_may_be_larger_than_the_buffer() -> None:
    side = Side()
    data = bytes(range(250)) * 9
    code, size, ticket = side.call(Function.CTR, KEY, bytes(16), struct.pack("<I", 128), data)
    assert (code, size, ticket) == (0, len(data) + 4, 0)
    sealed = side.reply(size)[4:]
    code, size, _ = side.call(Function.CTR, KEY, bytes(16), struct.pack("<I", 128), sealed)
    assert side.reply(size)[4:] == data


def test_a_refusal_is_a_code_and_a_sentence() -> None:
    side = Side()
    code, size, ticket = side.call(Function.IMPORT, b"P-256", b"raw", b"\x04abc")
    assert (code, ticket) == (Refusal.DATA, 0)
    assert side.reply(size) == b"the data is not a public key of P-256"


def test_a_slow_function_gives_a_ticket_and_its_reply_later() -> None:
    side = Side()
    number = struct.Struct("<I").pack
    _, _, ticket = side.call(Function.PBKDF2, b"SHA-256", b"password", b"salt", number(10_000), number(32))
    assert ticket == 1
    (descriptor,) = side.watched
    assert select.select([descriptor], [], [], 10)[0]
    side.watched[descriptor]()
    assert side.told == 1
    assert side.calls.run(CryptoOp.TAKE, 0) == (0, 36, 1)
    assert side.reply(36)[4:].hex().startswith("5ec02b91a4b59c6f59dd5fbe4ca649ec")
    assert side.calls.run(CryptoOp.TAKE, 0) == (0, 0, 0)


@pytest.mark.parametrize("request_bytes", [b"\x01\0\0\0\xff\0\0\0ab", b"\xff\0\0\0", b"\x01\0"])
def test_a_request_without_sense_is_the_callers_fault(request_bytes: bytes) -> None:
    side = Side()
    side.buffer[: len(request_bytes)] = request_bytes
    with pytest.raises((ValueError, LookupError)):
        side.calls.run(CryptoOp.CALL, len(request_bytes))
    with pytest.raises(ValueError, match="257"):
        side.calls.run(CryptoOp.CALL, 257)


def test_a_key_for_rsa_pss_alone_is_no_key_for_rsa() -> None:
    der_key = keys.encode_public(keys.generate_rsa(1024, 65537).public_key())
    assert keys.import_spki(keys.RSA, der_key) == der_key
    pss = der_key.replace(bytes.fromhex("2a864886f70d010101"), bytes.fromhex("2a864886f70d01010a"))
    with pytest.raises(DataError):
        keys.import_spki(keys.RSA, pss)


@pytest.mark.parametrize("data", [b"", b"\x30", b"\x30\x03\x02\x01\x00", b"\x30\x84", b"\x04\x01\x00"])
def test_what_is_no_key_has_no_algorithm(data: bytes) -> None:
    with pytest.raises(DataError):
        der.algorithm_identifier(data, private=False)


@pytest.mark.parametrize("curve", ["P-256", "P-384", "P-521", "Ed25519", "Ed448", "X25519", "X448"])
def test_keys_of_one_curve_are_no_keys_of_another(curve: str) -> None:
    key = keys.generate_on(curve)
    private, public = keys.encode_private(key), keys.encode_public(key.public_key())
    assert keys.import_pkcs8(curve, private) == private
    assert keys.import_spki(curve, public) == public
    assert keys.import_raw(curve, keys.raw_public(key.public_key())) == public
    assert keys.import_scalar(curve, keys.raw_private(key), keys.raw_public(key.public_key())) == private
    other = "P-384" if curve == "P-256" else "P-256"
    attempts: list[Callable[[], bytes]] = [
        lambda: keys.import_pkcs8(other, private),
        lambda: keys.import_spki(other, public),
        lambda: keys.import_pkcs8(keys.RSA, private),
        lambda: keys.import_spki(keys.RSA, public),
        lambda: keys.import_spki(curve, public + b"x"),
    ]
    for attempt in attempts:
        with pytest.raises(DataError):
            attempt()


def test_a_key_of_the_wrong_length_for_its_curve_is_refused() -> None:
    private = keys.encode_private(keys.generate_on("Ed25519"))
    ed448 = private.replace(bytes.fromhex("06032b6570"), bytes.fromhex("06032b6571"))
    for curve in ("Ed25519", "Ed448"):
        with pytest.raises(DataError):
            keys.import_pkcs8(curve, ed448)


def mutated(data: bytes, chance: random.Random) -> bytes:
    """The data with a few bytes changed, left out or put in."""
    result = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(result))
        how = chance.randrange(3)
        if how == 0:
            result[at] ^= 1 << chance.randrange(8)
        elif how == 1 and len(result) > 1:
            del result[at]
        else:
            result.insert(at, chance.randrange(256))
    return bytes(result)


@pytest.mark.parametrize("kind", ["RSA", "P-256", "Ed25519", "X448"])
def test_damaged_keys_are_refused_or_usable(kind: str) -> None:
    chance = random.Random(kind)
    key = keys.generate_rsa(1024, 65537) if kind == "RSA" else keys.generate_on(kind)
    forms = {b"pkcs8": keys.encode_private(key), b"spki": keys.encode_public(key.public_key())}
    export = Function.EXPORT_RSA if kind == "RSA" else Function.EXPORT_RAW
    refused = 0
    for _ in range(1000):
        form = chance.choice((b"pkcs8", b"spki"))
        try:
            imported = run(Function.IMPORT, [kind.encode(), form, mutated(forms[form], chance)])[0]
            run(export, [b"private" if form == b"pkcs8" else b"public", imported])
        except Refused:
            refused += 1
    assert refused > 500


def test_rsa_numbers_are_bounded() -> None:
    huge = ((1 << keys.MAX_RSA_BITS) + 1).to_bytes(keys.MAX_RSA_BITS // 8 + 1)
    with pytest.raises(DataError, match="16384 bits"):
        keys.import_rsa_public(huge, b"\x01\x00\x01")
    with pytest.raises(DataError, match="need p, q"):
        keys.import_rsa_private([huge[:-1], b"\x01\x00\x01", b"\x03"])
    with pytest.raises(OperationError, match="4096"):
        keys.generate_rsa(8192, 65537)


def test_a_lack_of_memory_is_an_operation_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr(ciphers, "ctr", fail)
    side = Side()
    code, size, _ = side.call(Function.CTR, KEY, bytes(16), struct.pack("<I", 128), b"x")
    assert code == Refusal.OPERATION
    assert b"memory" in side.reply(size)


def test_gcm_says_which_vectors_it_takes() -> None:
    with pytest.raises(OperationError, match="8 to 128"):
        ciphers.gcm_encrypt(KEY, b"short", b"", 128, b"data")


def test_small_order_is_found_with_either_sign_and_unreduced() -> None:
    for y in (0, 1, 2**255 - 20, 2**255 - 19, 2**255 - 18):
        assert has_small_order(y.to_bytes(32, "little"))
        assert has_small_order((y | 1 << 255).to_bytes(32, "little"))
    assert has_small_order(bytes([1]) + bytes(56))
    for curve in ("Ed25519", "Ed448"):
        assert not has_small_order(keys.raw_public(keys.generate_on(curve).public_key()))


def test_a_key_cannot_do_what_is_not_its_kinds() -> None:
    x25519, p256 = keys.generate_on("X25519"), keys.generate_on("P-256")
    with pytest.raises(OperationError):
        signatures.sign("ECDSA", keys.encode_private(x25519), b"SHA-256", 0, b"x")
    with pytest.raises(OperationError):
        signatures.agree(keys.encode_private(x25519), keys.encode_public(p256.public_key()))
