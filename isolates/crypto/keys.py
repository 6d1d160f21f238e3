"""Key pairs: import, export, generation. A key travels as DER: PKCS #8 when private, SubjectPublicKeyInfo when public.

Parsing DER costs more than most uses of a key, so the last parsed ones are kept.
"""

from functools import lru_cache

# Imported by `cryptography` at the first use of an elliptic curve, when a host can no longer read files.
import cryptography.hazmat.backends.openssl.backend  # noqa: F401
from cryptography.exceptions import InternalError, InvalidKey, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x448, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

from isolates.crypto.der import algorithm_identifier
from isolates.crypto.failures import DataError, OperationError

EdPrivate = ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
EdPublic = ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
XPrivate = x25519.X25519PrivateKey | x448.X448PrivateKey
XPublic = x25519.X25519PublicKey | x448.X448PublicKey
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | EdPrivate | XPrivate
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | EdPublic | XPublic

_NO_KEY = (ValueError, TypeError, UnsupportedAlgorithm, InvalidKey, InternalError)
"""What `cryptography` raises for data that is no key; the last for keys of RFC 7748 and 8032 of a wrong length."""

RSA = "RSA"
KEPT_KEYS = 64
MAX_GENERATED_RSA_BITS = 4096
"""A larger one takes tens of seconds to find."""
MAX_RSA_BITS = 16_384
MAX_RECOVERED_RSA_BITS = 4096
"""Finding the primes from the exponents is Python's arithmetic, and holds up the loop."""

CURVES: dict[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
_OCTET: dict[str, tuple[type[EdPrivate | XPrivate], type[EdPublic | XPublic]]] = {
    "Ed25519": (ed25519.Ed25519PrivateKey, ed25519.Ed25519PublicKey),
    "Ed448": (ed448.Ed448PrivateKey, ed448.Ed448PublicKey),
    "X25519": (x25519.X25519PrivateKey, x25519.X25519PublicKey),
    "X448": (x448.X448PrivateKey, x448.X448PublicKey),
}
_RSA_ENCRYPTION = bytes.fromhex("2a864886f70d010101")


@lru_cache(maxsize=KEPT_KEYS)
def private_key(der: bytes) -> PrivateKey:
    """Parse a key that was imported or generated before, so without testing its numbers again."""
    return load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)  # type: ignore[return-value]


@lru_cache(maxsize=KEPT_KEYS)
def public_key(der: bytes) -> PublicKey:
    """Parse a key that was imported or generated before."""
    return load_der_public_key(der)  # type: ignore[return-value]


def encode_private(key: PrivateKey) -> bytes:
    """PKCS #8."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def encode_public(key: PublicKey) -> bytes:
    """SubjectPublicKeyInfo."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


# -- import: returns DER in the form that this module writes


def import_pkcs8(kind: str, der: bytes) -> bytes:
    """`kind` is RSA, or the name of a curve.

    Raises:
        DataError: not a key of that kind.
    """
    try:
        key = load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
    except _NO_KEY:
        raise DataError("the data is not a PKCS #8 key that can be used") from None
    if kind == RSA:
        if not isinstance(key, rsa.RSAPrivateKey) or algorithm_identifier(der, private=True) != _RSA_ENCRYPTION:
            raise DataError("the key is not one of RSA")
        _require_size(key.key_size)
        _require_consistent(key.private_numbers())
    elif kind in CURVES:
        _require(isinstance(key, ec.EllipticCurvePrivateKey) and _is_curve(key.curve, kind), kind)
    else:
        _require(isinstance(key, _OCTET[kind][0]), kind)
    return encode_private(key)  # type: ignore[arg-type]


def import_spki(kind: str, der: bytes) -> bytes:
    """`kind` is RSA, or the name of a curve.

    Raises:
        DataError: not a key of that kind.
    """
    try:
        key = load_der_public_key(der)
    except _NO_KEY:
        raise DataError("the data is not a SubjectPublicKeyInfo that can be used") from None
    if kind == RSA:
        if not isinstance(key, rsa.RSAPublicKey) or algorithm_identifier(der, private=False) != _RSA_ENCRYPTION:
            raise DataError("the key is not one of RSA")
        _require_size(key.key_size)
    elif kind in CURVES:
        _require(isinstance(key, ec.EllipticCurvePublicKey) and _is_curve(key.curve, kind), kind)
    else:
        _require(isinstance(key, _OCTET[kind][1]), kind)
    return encode_public(key)  # type: ignore[arg-type]


def import_raw(curve: str, data: bytes) -> bytes:
    """A public key: a point, compressed or not, or the bytes of a key of RFC 7748 and 8032.

    Raises:
        DataError: no point of the curve, or the wrong length.
    """
    try:
        if curve in CURVES:
            return encode_public(ec.EllipticCurvePublicKey.from_encoded_point(CURVES[curve], data))
        return encode_public(_OCTET[curve][1].from_public_bytes(data))
    except _NO_KEY:
        raise DataError(f"the data is not a public key of {curve}") from None


def import_scalar(curve: str, secret: bytes, public: bytes) -> bytes:
    """A private key from the members of a JSON Web Key; `public` is the raw public key that must belong to it.

    Raises:
        DataError: a wrong length, a number out of range, or a public key of another private key.
    """
    try:
        if curve in CURVES:
            named = CURVES[curve]
            if len(secret) != (named.key_size + 7) // 8:
                raise DataError(f"d does not have the length of a private key of {curve}")
            key: PrivateKey = ec.derive_private_key(int.from_bytes(secret), named)
        else:
            key = _OCTET[curve][0].from_private_bytes(secret)
    except _NO_KEY:
        raise DataError(f"the data is not a private key of {curve}") from None
    if raw_public(key.public_key()) != public:
        raise DataError("the public key does not belong to the private key")
    return encode_private(key)


def import_rsa_public(modulus: bytes, exponent: bytes) -> bytes:
    """Raises DataError if the numbers are no RSA key."""
    try:
        return encode_public(rsa.RSAPublicNumbers(_number(exponent), _number(modulus)).public_key())
    except ValueError:
        raise DataError("the numbers are not an RSA public key") from None


def import_rsa_private(fields: list[bytes]) -> bytes:
    """`fields` are n, e, d and then nothing or p, q, dp, dq, qi.

    Raises:
        DataError: the numbers are no RSA key.
    """
    n, e, d, *primes = map(_number, fields)
    try:
        if not primes:
            if n.bit_length() > MAX_RECOVERED_RSA_BITS:
                raise DataError(f"RSA keys of more than {MAX_RECOVERED_RSA_BITS} bits need p, q, dp, dq and qi")
            p, q = rsa.rsa_recover_prime_factors(n, e, d)
            primes = [p, q, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)]
        p, q, dp, dq, qi = primes
        numbers = rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, rsa.RSAPublicNumbers(e, n))
        _require_consistent(numbers)
        return encode_private(numbers.private_key(unsafe_skip_rsa_key_validation=True))
    except ValueError:
        raise DataError("the numbers are not an RSA private key") from None


# -- export


def raw_public(key: PublicKey) -> bytes:
    """The uncompressed point, or the bytes of RFC 7748 and 8032."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def raw_private(key: PrivateKey) -> bytes:
    """The number of an EC key in full length, or the bytes of RFC 7748 and 8032."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8)
    return key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())


def rsa_public_fields(key: rsa.RSAPublicKey) -> list[bytes]:
    """n, e: without leading zeros."""
    numbers = key.public_numbers()
    return [_bytes(numbers.n), _bytes(numbers.e)]


def rsa_private_fields(key: rsa.RSAPrivateKey) -> list[bytes]:
    """n, e, d, p, q, dp, dq, qi: without leading zeros."""
    numbers = key.private_numbers()
    secret = (numbers.d, numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp)
    return [*rsa_public_fields(key.public_key()), *map(_bytes, secret)]


# -- generation


def generate_rsa(bits: int, exponent: int) -> PrivateKey:
    """Takes from a tenth of a second to several.

    Raises:
        OperationError: a size or an exponent that is not offered.
    """
    if bits > MAX_GENERATED_RSA_BITS:
        raise OperationError(f"RSA keys of more than {MAX_GENERATED_RSA_BITS} bits are not generated")
    try:
        return rsa.generate_private_key(exponent, bits)
    except ValueError as error:
        raise OperationError(str(error)) from None


def generate_on(curve: str) -> PrivateKey:
    """Make a key on a curve of `CURVES`, or of RFC 7748 or 8032."""
    return ec.generate_private_key(CURVES[curve]) if curve in CURVES else _OCTET[curve][0].generate()


def _is_curve(curve: ec.EllipticCurve, name: str) -> bool:
    return curve.name == CURVES[name].name


def _require(condition: bool, kind: str) -> None:
    if not condition:
        raise DataError(f"the key is not one of {kind}")


def _require_consistent(numbers: rsa.RSAPrivateNumbers) -> None:
    """Check what RFC 8017 §3.2 says of the numbers, but not that p and q are prime.

    Testing primes costs OpenSSL up to a tenth of a second per key, and somebody who makes a bad key of his own harms
    nobody else. Other libraries of Web Crypto do the same.
    """
    p, q, d, e = numbers.p, numbers.q, numbers.d, numbers.public_numbers.e
    if not (
        min(p, q) > 1
        and p * q == numbers.public_numbers.n
        and (d * e - 1) % (p - 1) == 0
        and (d * e - 1) % (q - 1) == 0
        and numbers.dmp1 == d % (p - 1)
        and numbers.dmq1 == d % (q - 1)
        and numbers.iqmp * q % p == 1
    ):
        raise DataError("the numbers of the RSA private key do not belong together")


def _require_size(bits: int) -> None:
    if bits > MAX_RSA_BITS:
        raise DataError(f"RSA keys of more than {MAX_RSA_BITS} bits are not supported")


def _number(data: bytes) -> int:
    number = int.from_bytes(data)
    _require_size(number.bit_length())
    return number


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8)
