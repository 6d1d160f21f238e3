"""Signatures and what else key pairs do: RSA, ECDSA, EdDSA, key agreement. Keys are DER, as `keys.py` writes it."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa, x448, x25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from isolates.crypto.failures import OperationError
from isolates.crypto.hashes import hash_object
from isolates.crypto.keys import private_key, public_key
from isolates.crypto.small_order import has_small_order

PKCS1 = "RSASSA-PKCS1-v1_5"
PSS = "RSA-PSS"
ECDSA = "ECDSA"


def sign(scheme: str, key_der: bytes, hash_name: bytes, salt_length: int, data: bytes) -> bytes:
    """`scheme` is one of the constants, or that of the key's curve if it is an Edwards curve.

    Raises:
        OperationError: the key is too short for the hash or the salt.
    """
    key = private_key(key_der)
    if isinstance(key, rsa.RSAPrivateKey):
        algorithm = hash_object(hash_name)
        try:
            return key.sign(data, _rsa_padding(scheme, algorithm, salt_length), algorithm)
        except ValueError as error:
            raise OperationError(str(error)) from None
    if isinstance(key, ec.EllipticCurvePrivateKey):
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hash_object(hash_name))))
        size = (key.key_size + 7) // 8
        return r.to_bytes(size) + s.to_bytes(size)
    if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey):
        return key.sign(data)
    raise OperationError("the key cannot sign")


def verify(scheme: str, key_der: bytes, hash_name: bytes, salt_length: int, signature: bytes, data: bytes) -> bool:
    """Whether the signature is right; every malformed one is not."""
    key = public_key(key_der)
    try:
        if isinstance(key, rsa.RSAPublicKey):
            algorithm = hash_object(hash_name)
            key.verify(signature, data, _rsa_padding(scheme, algorithm, salt_length), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            size = (key.key_size + 7) // 8
            if len(signature) != 2 * size:
                return False
            r, s = int.from_bytes(signature[:size]), int.from_bytes(signature[size:])
            key.verify(encode_dss_signature(r, s), data, ec.ECDSA(hash_object(hash_name)))
        elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
            if has_small_order(key.public_bytes_raw()) or has_small_order(signature[: len(signature) // 2]):
                return False
            key.verify(signature, data)
        else:
            return False
    except (InvalidSignature, ValueError):
        return False
    return True


def oaep_encrypt(key_der: bytes, hash_name: bytes, label: bytes, data: bytes) -> bytes:
    """Raises OperationError if the data is too long for the key."""
    key = public_key(key_der)
    try:
        return key.encrypt(data, _oaep(hash_name, label))  # type: ignore[union-attr]
    except ValueError:
        raise OperationError("the data is too long for the key") from None


def oaep_decrypt(key_der: bytes, hash_name: bytes, label: bytes, data: bytes) -> bytes:
    """Raises OperationError if the data was not encrypted for this key, hash and label."""
    key = private_key(key_der)
    try:
        return key.decrypt(data, _oaep(hash_name, label))  # type: ignore[union-attr]
    except ValueError:
        raise OperationError("the data could not be decrypted") from None


def agree(private_der: bytes, public_der: bytes) -> bytes:
    """The shared secret of ECDH, X25519 or X448.

    Raises:
        OperationError: it is all zero, since the public key has a small order; or the keys do not match.
    """
    private, public = private_key(private_der), public_key(public_der)
    try:
        if isinstance(private, ec.EllipticCurvePrivateKey) and isinstance(public, ec.EllipticCurvePublicKey):
            return private.exchange(ec.ECDH(), public)
        if isinstance(private, x25519.X25519PrivateKey) and isinstance(public, x25519.X25519PublicKey):
            return private.exchange(public)
        if isinstance(private, x448.X448PrivateKey) and isinstance(public, x448.X448PublicKey):
            return private.exchange(public)
    except ValueError:
        raise OperationError("the keys have no shared secret") from None
    raise OperationError("the keys are of different kinds")


def _rsa_padding(scheme: str, algorithm: hashes.HashAlgorithm, salt_length: int) -> padding.AsymmetricPadding:
    if scheme == PSS:
        return padding.PSS(padding.MGF1(algorithm), salt_length)
    return padding.PKCS1v15()


def _oaep(hash_name: bytes, label: bytes) -> padding.OAEP:
    algorithm = hash_object(hash_name)
    return padding.OAEP(padding.MGF1(algorithm), algorithm, label or None)
