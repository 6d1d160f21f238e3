"""AES in the modes of Web Crypto. Keys, vectors and data are bytes; lengths were checked by JavaScript where the
specification has an error of its own for them."""

from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import keywrap, padding
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from isolates.crypto.failures import OperationError

BLOCK_BYTES = 16
FULL_TAG_BITS = 128
KEPT_KEYS = 64
_BLOCK_BITS = 128


def cbc_encrypt(key: bytes, vector: bytes, data: bytes) -> bytes:
    """AES-CBC with the padding of PKCS #7."""
    padder = padding.PKCS7(_BLOCK_BITS).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    return _run(encryptor, padder.update(data) + padder.finalize())


def cbc_decrypt(key: bytes, vector: bytes, data: bytes) -> bytes:
    """Undo `cbc_encrypt`.

    Raises:
        OperationError: not whole blocks, or bad padding; the caller cannot tell which.
    """
    if not data or len(data) % BLOCK_BYTES:
        raise OperationError("the data could not be decrypted")
    unpadder = padding.PKCS7(_BLOCK_BITS).unpadder()
    plain = _run(Cipher(algorithms.AES(key), modes.CBC(vector)).decryptor(), data)
    try:
        return unpadder.update(plain) + unpadder.finalize()
    except ValueError:
        raise OperationError("the data could not be decrypted") from None


def ctr(key: bytes, counter: bytes, counter_bits: int, data: bytes) -> bytes:
    """AES-CTR, either way. Only the last `counter_bits` of the counter block count, and they wrap around.

    Raises:
        OperationError: more blocks than the counter has values.
    """
    blocks = -(-len(data) // BLOCK_BYTES)
    span = 1 << counter_bits
    if blocks > span:
        raise OperationError(f"the data has more blocks than a counter of {counter_bits} bits can number")
    start = int.from_bytes(counter)
    first = (span - start % span) * BLOCK_BYTES
    result = _ctr(key, counter, data[:first])
    if first < len(data):
        wrapped = (start - start % span).to_bytes(BLOCK_BYTES)
        result += _ctr(key, wrapped, data[first:])
    return result


def gcm_encrypt(key: bytes, vector: bytes, extra: bytes, tag_bits: int, data: bytes) -> bytes:
    """AES-GCM; the tag is at the end.

    Raises:
        OperationError: the vector is not 8 to 128 bytes long, which OpenSSL's binding demands.
    """
    mode = _gcm(vector)
    if tag_bits == FULL_TAG_BITS:
        return _aead(key).encrypt(vector, data, extra)
    encryptor = Cipher(algorithms.AES(key), mode).encryptor()
    if extra:
        encryptor.authenticate_additional_data(extra)
    return _run(encryptor, data) + encryptor.tag[: tag_bits // 8]


def gcm_decrypt(key: bytes, vector: bytes, extra: bytes, tag_bits: int, data: bytes) -> bytes:
    """Undo `gcm_encrypt`.

    Raises:
        OperationError: the tag is wrong, or there is none.
    """
    size = len(data) - tag_bits // 8
    if size < 0:
        raise OperationError("the data is shorter than its tag")
    mode = _gcm(vector)
    try:
        if tag_bits == FULL_TAG_BITS:
            return _aead(key).decrypt(vector, data, extra)
        decryptor = Cipher(algorithms.AES(key), mode).decryptor()
        if extra:
            decryptor.authenticate_additional_data(extra)
        return decryptor.update(data[:size]) + decryptor.finalize_with_tag(data[size:])
    except InvalidTag:
        raise OperationError("the data could not be decrypted") from None


def wrap(key: bytes, data: bytes) -> bytes:
    """AES-KW (RFC 3394).

    Raises:
        OperationError: the data is not two or more groups of 8 bytes.
    """
    try:
        return keywrap.aes_key_wrap(key, data)
    except ValueError as error:
        raise OperationError(str(error)) from None


def unwrap(key: bytes, data: bytes) -> bytes:
    """Undo `wrap`.

    Raises:
        OperationError: the integrity check failed.
    """
    try:
        return keywrap.aes_key_unwrap(key, data)
    except (keywrap.InvalidUnwrap, ValueError):
        raise OperationError("the key could not be unwrapped") from None


@lru_cache(maxsize=KEPT_KEYS)
def _aead(key: bytes) -> AESGCM:
    """For whole tags; with a kept key it takes a sixth of the time that a new context takes."""
    return AESGCM(key)


def _gcm(vector: bytes) -> modes.GCM:
    try:
        return modes.GCM(vector, min_tag_length=4)
    except ValueError:
        raise OperationError(f"iv has {len(vector)} bytes; 8 to 128 are supported, and 12 are recommended") from None


def _ctr(key: bytes, counter: bytes, data: bytes) -> bytes:
    return _run(Cipher(algorithms.AES(key), modes.CTR(counter)).encryptor(), data)


def _run(context: CipherContext, data: bytes) -> bytes:
    return context.update(data) + context.finalize()
