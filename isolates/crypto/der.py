"""As much of DER (X.690) as tells which algorithm a key names: `cryptography` takes RSA-PSS keys for RSA keys."""

from isolates.crypto.failures import DataError

_SEQUENCE = 0x30
_OBJECT_IDENTIFIER = 0x06


def algorithm_identifier(der: bytes, *, private: bool) -> bytes:
    """The content of the object identifier in a PKCS #8 (`private`) or SubjectPublicKeyInfo structure.

    Raises:
        DataError: the structure is another one.
    """
    tag, at, _ = _element(der, 0)
    if private:
        _, version, size = _element(der, at)
        at = version + size
    inner, at, _ = _element(der, at)
    kind, at, size = _element(der, at)
    if (tag, inner, kind) != (_SEQUENCE, _SEQUENCE, _OBJECT_IDENTIFIER):
        raise DataError("the data is not the structure of a key")
    return der[at : at + size]


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """The tag of the element at `at`, where its content starts, and the content's size."""
    try:
        tag, size = der[at], der[at + 1]
        at += 2
        if size >= 0x80:
            octets = size & 0x7F
            size = int.from_bytes(der[at : at + octets])
            at += octets
    except IndexError:
        raise DataError("the data ends within an element") from None
    return tag, at, size
