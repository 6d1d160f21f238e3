"""The functions that JavaScript calls by number, with fields of bytes in and out. Numbers match
`isolates/js/src/crypto/host.ts`; a field that is a number is a u32, little-endian.
"""

import hmac
from collections.abc import Callable
from enum import IntEnum

from isolates.crypto import ciphers, derivation, keys, signatures
from isolates.crypto.hashes import hash_name, hash_object

Fields = list[bytes]
SLOW_PBKDF2_WORK = 5_000
"""Iterations; about 2 ms."""
LARGEST_DIGEST_BYTES = 64
SLOW_KEY_BYTES = 1_500
"""Of PKCS #8: RSA of 2,048 bits has 1,218, RSA of 3,072 bits 1,794, and a private operation with it takes 3 ms."""
TRUE, FALSE = b"\x01", b"\x00"


class Function(IntEnum):
    """Arguments → results."""

    HMAC = 1
    """hash, key, data → code"""
    HMAC_VERIFY = 2
    """hash, key, code, data → flag"""
    CBC = 3
    """direction, key, iv, data → data"""
    CTR = 4
    """key, counter, bits of it, data → data"""
    GCM = 5
    """direction, key, iv, additional data, bits of the tag, data → data"""
    KEY_WRAP = 6
    """direction, key, data → data"""
    OAEP = 7
    """direction, key, hash, label, data → data"""
    SIGN = 8
    """scheme, key, hash, salt length, data → signature"""
    VERIFY = 9
    """scheme, key, hash, salt length, signature, data → flag"""
    AGREE = 10
    """private key, public key → secret"""
    HKDF = 11
    """hash, secret, salt, info, length → data"""
    PBKDF2 = 12
    """hash, password, salt, iterations, length → data"""
    GENERATE_RSA = 13
    """bits, exponent → private key, public key"""
    GENERATE_ON = 14
    """curve → private key, public key"""
    IMPORT = 15
    """kind, format (pkcs8, spki, raw), data → key; for RSA also modulus and exponent"""
    IMPORT_SCALAR = 16
    """curve, private bytes, raw public key → key"""
    IMPORT_RSA = 17
    """n, e, and d and maybe p, q, dp, dq, qi → key, modulus, exponent"""
    EXPORT_RAW = 18
    """kind of key (public, private), key → raw public key, and the private bytes of a private key"""
    EXPORT_RSA = 19
    """kind of key, key → n, e and for a private key d, p, q, dp, dq, qi"""


PRIVATE = b"private"
ENCRYPT = 1


def run(number: int, fields: Fields) -> Fields:
    """Run a function.

    Raises:
        Refused: see `failures.py`.
        KeyError, ValueError, IndexError: the request makes no sense, which is the platform's fault.
    """
    return _FUNCTIONS[Function(number)](fields)


def is_slow(number: int, fields: Fields) -> bool:
    """Whether to run it on another thread: when it takes long enough for other requests to notice."""
    if number == Function.PBKDF2:
        return _u32(fields[3]) * (_u32(fields[4]) // LARGEST_DIGEST_BYTES + 1) > SLOW_PBKDF2_WORK
    if number == Function.GENERATE_RSA:
        return True
    return number in (Function.SIGN, Function.OAEP) and len(fields[1]) > SLOW_KEY_BYTES


def _u32(field: bytes) -> int:
    return int.from_bytes(field, "little")


def _forward(field: bytes) -> bool:
    return _u32(field) == ENCRYPT


def _hmac(f: Fields) -> Fields:
    return [hmac.digest(f[1], f[2], hash_name(f[0]))]


def _hmac_verify(f: Fields) -> Fields:
    right = hmac.digest(f[1], f[3], hash_name(f[0]))
    return [TRUE if hmac.compare_digest(right, f[2]) else FALSE]


def _cbc(f: Fields) -> Fields:
    return [(ciphers.cbc_encrypt if _forward(f[0]) else ciphers.cbc_decrypt)(f[1], f[2], f[3])]


def _ctr(f: Fields) -> Fields:
    return [ciphers.ctr(f[0], f[1], _u32(f[2]), f[3])]


def _gcm(f: Fields) -> Fields:
    return [(ciphers.gcm_encrypt if _forward(f[0]) else ciphers.gcm_decrypt)(f[1], f[2], f[3], _u32(f[4]), f[5])]


def _key_wrap(f: Fields) -> Fields:
    return [(ciphers.wrap if _forward(f[0]) else ciphers.unwrap)(f[1], f[2])]


def _oaep(f: Fields) -> Fields:
    return [(signatures.oaep_encrypt if _forward(f[0]) else signatures.oaep_decrypt)(f[1], f[2], f[3], f[4])]


def _sign(f: Fields) -> Fields:
    return [signatures.sign(f[0].decode(), f[1], f[2], _u32(f[3]), f[4])]


def _verify(f: Fields) -> Fields:
    return [TRUE if signatures.verify(f[0].decode(), f[1], f[2], _u32(f[3]), f[4], f[5]) else FALSE]


def _agree(f: Fields) -> Fields:
    return [signatures.agree(f[0], f[1])]


def _hkdf(f: Fields) -> Fields:
    return [derivation.hkdf(hash_name(f[0]), f[1], f[2], f[3], _u32(f[4]))]


def _pbkdf2(f: Fields) -> Fields:
    return [derivation.pbkdf2(hash_object(f[0]), f[1], f[2], _u32(f[3]), _u32(f[4]))]


def _pair(key: keys.PrivateKey) -> Fields:
    return [keys.encode_private(key), keys.encode_public(key.public_key())]


def _generate_rsa(f: Fields) -> Fields:
    return _pair(keys.generate_rsa(_u32(f[0]), int.from_bytes(f[1])))


def _generate_on(f: Fields) -> Fields:
    return _pair(keys.generate_on(f[0].decode()))


def _import(f: Fields) -> Fields:
    kind, form, data = f[0].decode(), f[1], f[2]
    if form == b"raw":
        return [keys.import_raw(kind, data)]
    if form == b"pkcs8":
        return _with_rsa_numbers(kind, keys.import_pkcs8(kind, data), private=True)
    return _with_rsa_numbers(kind, keys.import_spki(kind, data), private=False)


def _import_scalar(f: Fields) -> Fields:
    return [keys.import_scalar(f[0].decode(), f[1], f[2])]


def _import_rsa(f: Fields) -> Fields:
    private = len(f) > 2
    der = keys.import_rsa_private(f) if private else keys.import_rsa_public(f[0], f[1])
    return _with_rsa_numbers(keys.RSA, der, private=private)


def _with_rsa_numbers(kind: str, der: bytes, *, private: bool) -> Fields:
    if kind != keys.RSA:
        return [der]
    key = keys.private_key(der).public_key() if private else keys.public_key(der)
    return [der, *keys.rsa_public_fields(key)]  # type: ignore[arg-type]


def _export_raw(f: Fields) -> Fields:
    if f[0] != PRIVATE:
        return [keys.raw_public(keys.public_key(f[1]))]
    key = keys.private_key(f[1])
    return [keys.raw_public(key.public_key()), keys.raw_private(key)]


def _export_rsa(f: Fields) -> Fields:
    if f[0] != PRIVATE:
        return keys.rsa_public_fields(keys.public_key(f[1]))  # type: ignore[arg-type]
    return keys.rsa_private_fields(keys.private_key(f[1]))  # type: ignore[arg-type]


_FUNCTIONS: dict[Function, Callable[[Fields], Fields]] = {
    Function.HMAC: _hmac,
    Function.HMAC_VERIFY: _hmac_verify,
    Function.CBC: _cbc,
    Function.CTR: _ctr,
    Function.GCM: _gcm,
    Function.KEY_WRAP: _key_wrap,
    Function.OAEP: _oaep,
    Function.SIGN: _sign,
    Function.VERIFY: _verify,
    Function.AGREE: _agree,
    Function.HKDF: _hkdf,
    Function.PBKDF2: _pbkdf2,
    Function.GENERATE_RSA: _generate_rsa,
    Function.GENERATE_ON: _generate_on,
    Function.IMPORT: _import,
    Function.IMPORT_SCALAR: _import_scalar,
    Function.IMPORT_RSA: _import_rsa,
    Function.EXPORT_RAW: _export_raw,
    Function.EXPORT_RSA: _export_rsa,
}
