"""Key derivation: HKDF (RFC 5869) and PBKDF2 (RFC 8018)."""

import hashlib
import hmac

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from isolates.crypto.failures import OperationError

MAX_PBKDF2_WORK = 20_000_000
"""Iterations times blocks of output: some five to ten seconds of one core, so that a call cannot hold one for hours."""


def hkdf(hash_name: str, secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """`length` bytes.

    Raises:
        OperationError: more than 255 blocks of the hash.
    """
    size = hashlib.new(hash_name).digest_size
    if length > 255 * size:
        raise OperationError(f"HKDF gives at most {255 * size} bytes with this hash")
    key = hmac.digest(salt or bytes(size), secret, hash_name)
    block, result = b"", b""
    counter = 1
    while len(result) < length:
        block = hmac.digest(key, block + info + bytes((counter,)), hash_name)
        result += block
        counter += 1
    return result[:length]


def pbkdf2(algorithm: hashes.HashAlgorithm, password: bytes, salt: bytes, iterations: int, length: int) -> bytes:
    """`length` bytes, at least one. Twice as fast as `hashlib`, which is often linked to an older OpenSSL.

    Raises:
        OperationError: no iterations, or more work than one call may cause.
    """
    if iterations < 1:
        raise OperationError("PBKDF2 needs at least one iteration")
    if iterations * -(-length // algorithm.digest_size) > MAX_PBKDF2_WORK:
        raise OperationError(f"PBKDF2: more than {MAX_PBKDF2_WORK} iterations in one call")
    return PBKDF2HMAC(algorithm, length, salt, iterations).derive(password)
