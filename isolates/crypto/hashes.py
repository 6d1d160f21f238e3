"""The hash functions of Web Crypto by their registered names."""

from cryptography.hazmat.primitives import hashes

from isolates.crypto.failures import NotSupportedError

NAMES = {"SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}
"""As `hashlib` and `hmac` know them."""

_OBJECTS: dict[bytes, hashes.HashAlgorithm] = {
    b"SHA-1": hashes.SHA1(),  # noqa: S303 - Web Crypto has it
    b"SHA-256": hashes.SHA256(),
    b"SHA-384": hashes.SHA384(),
    b"SHA-512": hashes.SHA512(),
}


def hash_name(field: bytes) -> str:
    """Return the name that `hashlib` knows.

    Raises:
        NotSupportedError: there is no such hash.
    """
    name = NAMES.get(field.decode())
    if name is None:
        raise NotSupportedError(f"there is no hash {field!r}")
    return name


def hash_object(field: bytes) -> hashes.HashAlgorithm:
    """Return the object that `cryptography` takes.

    Raises:
        NotSupportedError: there is no such hash.
    """
    found = _OBJECTS.get(field)
    if found is None:
        raise NotSupportedError(f"there is no hash {field!r}")
    return found
