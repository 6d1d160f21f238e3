"""Points that EdDSA verification must refuse: Web Crypto demands it for keys and for the R of a signature.

A signature under a key of small order is valid for many messages. The y coordinates below are those of all points whose
order divides the cofactor: 8 on edwards25519, 4 on edwards448 (RFC 7748 §4).
"""

_P25519 = 2**255 - 19
_P448 = 2**448 - 2**224 - 1
_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_25519 = frozenset((0, 1, _P25519 - 1, _ORDER_8, _P25519 - _ORDER_8))
_SMALL_448 = frozenset((0, 1, _P448 - 1))
_ED25519_BYTES = 32


def has_small_order(point: bytes) -> bool:
    """Whether the encoded point (RFC 8032 §5.1.2, §5.2.2) has a small order, or is not the encoding of a reduced y."""
    y = int.from_bytes(point, "little") & ~(1 << (len(point) * 8 - 1))
    if len(point) == _ED25519_BYTES:
        return y in _SMALL_25519 or y >= _P25519
    return y in _SMALL_448 or y >= _P448
